//! `wardcast kmip send`: one message to a server that takes KMIP over HTTPS, such as a gateway's front, and its answer.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use zeroize::Zeroizing;

use crate::causes::chain;
use crate::https::ALPN;
use crate::kmip::codec::limits::MAX_TEXT;
use crate::kmip::codec::{Item, Layout, View, tag, values};
use crate::kmip::message::Field;
use crate::tls::{self, Credentials, Trust};

/// Within this there is an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest token, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

#[derive(Args, Debug)]
pub(super) struct SendArgs {
    /// Where the server is: https://HOST/kmip.
    #[arg(long, value_name = "URL")]
    server: String,
    /// The certificate of the authority that the server's certificate is from.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The certificate to show to the server.
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        required_unless_present = "token_file"
    )]
    cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A bearer token to show to the server.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: &SendArgs) -> ExitCode {
    match send(args).await {
        Ok((answer, all_done)) => {
            // A reader that went away has seen what it wanted.
            let _ = std::io::stdout().write_all(&answer);
            match all_done {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(3),
            }
        }
        Err(said) => {
            eprintln!("wardcast: {said}");
            ExitCode::FAILURE
        }
    }
}

/// The answer, in the encoding of the question, and whether all of it was done or will be.
async fn send(args: &SendArgs) -> Result<(Zeroizing<Vec<u8>>, bool), String> {
    let mut input = Zeroizing::new(Vec::new());
    let read = std::io::stdin()
        .take(MAX_TEXT as u64 + 1)
        .read_to_end(&mut input);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    let view = view(&input)?;
    if view == View::Ttlv && std::io::stdout().is_terminal() {
        return Err("the answer is bytes, which no terminal shows: add '> FILE'".to_owned());
    }
    let message = view.decode(&input);
    let message =
        message.map_err(|error| format!("standard input: {}", super::located(&error, &input)))?;
    let body = view
        .encode(&message, Layout::OneLine)
        .map_err(|error| error.to_string())?;
    let answer = posted(args, view, &body).await?;
    let answer = view
        .decode(&answer)
        .map_err(|error| format!("the answer: {error}"))?;
    let mut shown = view
        .encode(&answer, Layout::Indented)
        .map_err(|error| error.to_string())?;
    if view != View::Ttlv {
        shown.push(b'\n');
    }
    Ok((shown, all_done(&answer)))
}

/// The encoding, by what a message begins with.
fn view(input: &[u8]) -> Result<View, String> {
    match input.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(View::Json),
        Some(b'<') => Ok(View::Xml),
        Some(0x42) => Ok(View::Ttlv),
        Some(_) => {
            Err("standard input holds no message: one begins with <, { or the byte 0x42".into())
        }
        None => Err("standard input holds no message".into()),
    }
}

async fn posted(args: &SendArgs, view: View, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let trust = Trust::load(&args.ca, &[]).map_err(|error| error.to_string())?;
    let tls = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => {
            let credentials = Credentials::load(cert, key).map_err(|error| error.to_string())?;
            tls::client_config(credentials, &trust, &[ALPN])
        }
        _ => tls::anonymous_client_config(&trust, &[ALPN]),
    };
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.map_err(|error| error.to_string())?)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let mut request = http
        .post(&args.server)
        .header(CONTENT_TYPE, view.content_type());
    if let Some(file) = &args.token_file {
        request = request.header(AUTHORIZATION, bearer(file)?);
    }
    let failed = |error: reqwest::Error| format!("--server: {}", chain(&error));
    let answer = request.body(body.to_vec()).send().await.map_err(failed)?;
    let status = answer.status();
    let answer = Zeroizing::new(answer.bytes().await.map_err(failed)?.to_vec());
    match status {
        StatusCode::OK => Ok(answer),
        status => {
            let said = String::from_utf8_lossy(&answer);
            Err(format!("the server says {status}: {}", said.trim()))
        }
    }
}

fn bearer(file: &PathBuf) -> Result<HeaderValue, String> {
    let unreadable = |error: std::io::Error| format!("--token-file {}: {error}", file.display());
    let mut token = Zeroizing::new(String::new());
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened
        .take(MAX_TOKEN)
        .read_to_string(&mut token)
        .map_err(unreadable)?;
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let mut value =
        value.map_err(|_| format!("--token-file {}: holds no token", file.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn all_done(answer: &Item) -> bool {
    let good = [
        values::ResultStatus::Success,
        values::ResultStatus::OperationPending,
    ];
    let statuses = || -> Result<Vec<u32>, crate::kmip::message::MessageError> {
        let message = Field::of(answer, tag::ResponseMessage)?;
        let items = message.children(tag::BatchItem)?;
        items
            .map(|item| item.child(tag::ResultStatus)?.enumeration())
            .collect()
    };
    statuses().is_ok_and(|all| !all.is_empty() && all.iter().all(|status| good.contains(status)))
}
