//! `wardcast pki`: a development authority in a folder: make it, issue certificates, revoke them.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::pki::{
    AUTHORITY_DAYS, Authority, CA_CERTIFICATE, CA_KEY, CERTIFICATE_DAYS, CRL, PkiError, Request,
    Usage,
};

/// A small certificate authority for development: its key is a file, so it is none for production.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes:\n  0  done\n  1  refused or failed; nothing was overwritten\n  2  wrong usage"
)]
pub struct PkiArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Makes an authority in a folder: ca.pem, ca.key and an empty revocation list crl.pem.
    Init {
        /// The folder; made if it is missing.
        #[arg(long)]
        dir: PathBuf,
        /// The authority's common name.
        #[arg(long, default_value = "Wardcast development CA")]
        name: String,
        /// How long its certificate is valid, in days.
        #[arg(long, default_value_t = AUTHORITY_DAYS)]
        days: u32,
    },
    /// Issues a certificate with a new key; for a client unless told otherwise.
    Issue(IssueArgs),
    /// Adds certificates to crl.pem and renews it; without any, only renews it.
    Revoke {
        /// The authority's folder.
        #[arg(long)]
        dir: PathBuf,
        /// The certificates (PEM).
        certificates: Vec<PathBuf>,
    },
}

#[derive(Args, Debug)]
struct IssueArgs {
    /// The authority's folder.
    #[arg(long)]
    dir: PathBuf,
    /// The common name.
    #[arg(long)]
    name: String,
    /// A SPIFFE identity, such as spiffe://example.org/anna; it comes before all other names.
    #[arg(long, value_name = "URI")]
    spiffe: Option<String>,
    /// A DNS name or IP address; may be given several times.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// For a gateway.
    #[arg(long)]
    server: bool,
    /// For a member or an operator.
    #[arg(long)]
    client: bool,
    /// How long it is valid, in days.
    #[arg(long, default_value_t = CERTIFICATE_DAYS)]
    days: u32,
    /// Where to: PREFIX.pem and PREFIX.key. Existing files are refused.
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
}

/// Runs the command and says what it did on standard output, what went wrong on standard error.
pub fn run(args: &PkiArgs) -> ExitCode {
    let done = match execute(&args.command) {
        Ok(done) => done,
        Err(error) => {
            eprintln!("wardcast: {error}");
            return ExitCode::FAILURE;
        }
    };
    // A reader that went away has seen what it wanted.
    let _ = match args.json {
        true => writeln!(std::io::stdout(), "{}", done.json()),
        false => writeln!(std::io::stdout(), "{done}"),
    };
    ExitCode::SUCCESS
}

enum Done {
    Made {
        dir: PathBuf,
    },
    Issued {
        certificate: PathBuf,
        key: PathBuf,
        serial: String,
    },
    Revoked {
        crl: PathBuf,
        count: usize,
    },
}

impl Done {
    fn json(&self) -> Value {
        match self {
            Done::Made { dir } => json!({
                "certificate": dir.join(CA_CERTIFICATE), "key": dir.join(CA_KEY), "crl": dir.join(CRL),
            }),
            Done::Issued {
                certificate,
                key,
                serial,
            } => {
                json!({ "certificate": certificate, "key": key, "serial": serial })
            }
            Done::Revoked { crl, count } => json!({ "crl": crl, "revoked": count }),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Made { dir } => write!(
                f,
                "made {}, {CA_KEY} and {CRL}: for development, the key is a file",
                dir.join(CA_CERTIFICATE).display()
            ),
            Done::Issued {
                certificate,
                key,
                serial,
            } => {
                let (certificate, key) = (certificate.display(), key.display());
                write!(f, "issued {certificate} (serial {serial}) with {key}")
            }
            Done::Revoked { crl, count } => {
                write!(f, "{} names {count} revoked certificates", crl.display())
            }
        }
    }
}

fn execute(command: &Command) -> Result<Done, PkiError> {
    match command {
        Command::Init { dir, name, days } => {
            Authority::create(dir, name, *days)?;
            Ok(Done::Made { dir: dir.clone() })
        }
        Command::Issue(args) => {
            let issued = Authority::load(&args.dir)?.issue(&args.request())?;
            let (certificate, key) = issued.write(&args.out)?;
            let serial = issued.serial;
            Ok(Done::Issued {
                certificate,
                key,
                serial,
            })
        }
        Command::Revoke { dir, certificates } => {
            let (crl, count) = Authority::load(dir)?.revoke(dir, certificates)?;
            Ok(Done::Revoked { crl, count })
        }
    }
}

impl IssueArgs {
    fn request(&self) -> Request {
        let usage = match (self.server, self.client) {
            (true, true) => Usage::Both,
            (true, false) => Usage::Server,
            (false, _) => Usage::Client,
        };
        let request = Request::new(&self.name, usage).days(self.days);
        let request = self.dns.iter().fold(request, Request::host);
        match &self.spiffe {
            Some(uri) => request.spiffe(uri),
            None => request,
        }
    }
}
