//! What a run needs before anything is started: a throw-away authority, and certificates for all who take part.

use std::path::Path;

use tempfile::TempDir;
use wardcast::pki::{Authority, Request};
use wardcast::tls::{Credentials, Trust};

use crate::Failure;

/// Who operates the gateway.
pub(crate) const OPERATOR: &str = "cn:operator";

/// A folder that is gone when the run ends, and who is trusted in it.
pub(crate) struct Site {
    folder: TempDir,
    authority: Authority,
    trust: Trust,
    operator: Credentials,
    members: Vec<Credentials>,
}

impl Site {
    /// Makes the authority, the servers' certificate, a hostile client's, and one for each of `members`.
    pub(crate) fn make(members: usize) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("wardcast-load-")
            .tempdir()?;
        let authority = Authority::create(folder.path(), "load test", 1)?;
        issue_server(&authority, &folder.path().join("server"))?;
        // Somebody whose certificate is good and who means no good; a process of its own reads it.
        authority
            .issue(&Request::client("member-hostile"))?
            .write(&folder.path().join("hostile"))?;
        let client = |name: String| {
            let issued = authority.issue(&Request::client(name))?;
            Ok(Credentials::new(issued.chain(), issued.key()))
        };
        let operator: Result<_, Failure> = client("operator".to_owned());
        let members = (0..members).map(|number| client(format!("member-{number}")));
        Ok(Site {
            trust: Trust::new([authority.certificate().clone()], Vec::new())?,
            operator: operator?,
            members: members.collect::<Result<_, Failure>>()?,
            folder,
            authority,
        })
    }

    /// Another certificate for the gateway, in place of the one that it has; first it, then its key.
    pub(crate) fn renew_server(&self) -> Result<(), Failure> {
        let path = |name: &str| self.folder.path().join(name);
        issue_server(&self.authority, &path("renewed"))?;
        for kind in ["pem", "key"] {
            std::fs::rename(
                path("renewed").with_extension(kind),
                path("server").with_extension(kind),
            )?;
        }
        Ok(())
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whom members trust.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The operator's certificate.
    pub(crate) fn operator(&self) -> &Credentials {
        &self.operator
    }

    /// The members' certificates, one each.
    pub(crate) fn members(&self) -> &[Credentials] {
        &self.members
    }
}

fn issue_server(authority: &Authority, path: &Path) -> Result<(), Failure> {
    let server = Request::server("gateway")
        .host("localhost")
        .host("127.0.0.1");
    authority.issue(&server)?.write(path)?;
    Ok(())
}
