//! A client: one connection, requests that are tried for a while, joins.

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::link::{self, Link, State};
use super::membership::{Membership, Ticket};
use super::{JoinError, MemberError, Observed, Options, keys};
use crate::crypto::EphemeralKey;
use crate::group::ids::{Epoch, Role};
use crate::group::wire::{Join, Request, Response};

/// The pause after a refusal that passes but names no time, and after a lost connection.
const PAUSE: Duration = Duration::from_millis(200);
/// The suites of this library.
const SUITES: [u32; 1] = [1];

fn unusable(why: impl Into<String>) -> JoinError {
    JoinError::Unusable(why.into())
}

/// A member's connection to a gateway; cheap to clone. It is closed when all its clones and memberships are dropped.
#[derive(Clone)]
pub struct Client {
    pub(super) link: Arc<Link>,
    patience: Duration,
    pub(super) tap: Option<mpsc::Sender<Observed>>,
}

impl Client {
    /// Begins to connect; needs a Tokio runtime. A gateway that cannot be reached shows when something is asked.
    pub fn new(options: Options) -> Result<Self, MemberError> {
        let link = Arc::new(Link::start(&options)?);
        Ok(Self {
            link,
            patience: options.patience,
            tap: options.tap,
        })
    }

    /// Registers in a group. If the gateway's answer is lost the join is asked again, and may leave a registration
    /// behind that nobody uses; the group's policy removes it.
    pub async fn join(&self, group: &str, role: Role) -> Result<Membership, JoinError> {
        let joining = self.link.joining();
        let key = EphemeralKey::generate();
        let join = Join {
            group: group.to_owned(),
            role,
            public: key.public(),
            suites: SUITES.to_vec(),
        };
        let (connection, answer) = self.ask(&Request::Join(join)).await?;
        let Response::Granted(grant) = answer else {
            return Err(unusable("it does not answer a join"));
        };
        let leaf_key = keys::open(&grant, &key).map_err(unusable)?;
        let ticket = Ticket {
            group: group.to_owned(),
            group_id: grant.group,
            member: grant.member,
            role: grant.role,
            leaf: grant.leaf,
            leaf_key,
            issuer: grant.issuer(),
        };
        let membership = Membership::begin(self.clone(), ticket, connection, grant.path);
        drop(joining);
        membership.map_err(unusable)
    }

    /// Takes up a registration that an earlier process began.
    pub async fn resume(&self, ticket: Ticket) -> Result<Membership, JoinError> {
        let joining = self.link.joining();
        let resume = Request::Resume(ticket.resume(Epoch(0)));
        let (connection, answer) = self.ask(&resume).await?;
        let Response::Path(path) = answer else {
            return Err(unusable("it does not answer a resume"));
        };
        let membership = Membership::begin(self.clone(), ticket, connection, path);
        drop(joining);
        membership.map_err(unusable)
    }

    /// Asks until there is an answer that is final, on whatever connection; gives up after the client's patience.
    pub(super) async fn ask(&self, request: &Request) -> Result<(Connection, Response), JoinError> {
        let deadline = Instant::now() + self.patience;
        let mut last = "nothing was tried".to_owned();
        while Instant::now() < deadline {
            let Some(connection) = self.connection(deadline, &mut last).await else {
                break;
            };
            let mut pause = PAUSE;
            match timeout_at(deadline, link::ask(&connection, request)).await {
                Ok(Ok(Response::Refused(refusal))) if refusal.code.passes() => {
                    pause = refusal.retry_after_ms.map_or(PAUSE, Duration::from_millis);
                    last = refusal.to_string();
                }
                Ok(Ok(Response::Refused(refusal))) => return Err(JoinError::Refused(refusal)),
                Ok(Ok(response)) => return Ok((connection, response)),
                Ok(Err(link::NoAnswer(why))) => last = why,
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = sleep_until(deadline) => {}
            }
        }
        Err(JoinError::GaveUp {
            patience: self.patience,
            last,
        })
    }

    /// The connection, as soon as there is one; the reason why there is none goes to `last`.
    async fn connection(&self, deadline: Instant, last: &mut String) -> Option<Connection> {
        let mut state = self.link.state();
        loop {
            match &*state.borrow_and_update() {
                State::Up(connection) => return Some(connection.clone()),
                State::Down(why) => last.clone_from(why),
            }
            timeout_at(deadline, state.changed()).await.ok()?.ok()?;
        }
    }
}
