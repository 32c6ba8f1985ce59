//! A client: one connection, requests that are tried for a while, joins.

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::dispatch::{Delivery, Joining};
use super::exchange::{NoAnswer, ask};
use super::keys;
use super::link::{Link, State};
use super::membership::Membership;
use super::pauses::{around, at_least};
use super::suite::{Ephemeral, SuiteKeys};
use super::{Fidelity, JoinError, MemberError, Options, Ticket, Unusable};
use crate::crypto::Key;
use crate::group::ids::{Epoch, Role};
use crate::group::wire::{ChannelOpened, Grant, Join, PathDelivery, Request, Response};

/// The pause after a refusal that passes but names no time, and after a lost connection.
const PAUSE: Duration = Duration::from_millis(200);

/// A member's connection to a gateway; cheap to clone. It is closed when all its clones and memberships are dropped.
#[derive(Clone)]
pub struct Client {
    pub(super) link: Arc<Link>,
    pub(super) options: Arc<Options>,
}

/// A registration that the gateway serves on a connection from now on.
pub(super) struct Registered {
    pub(super) ticket: Ticket,
    pub(super) connection: Connection,
    pub(super) path: PathDelivery,
    /// The push channel that was granted besides.
    pub(super) channel: Option<ChannelOpened>,
    pub(super) inbox: mpsc::Receiver<Delivery>,
    /// Dropped when whoever reads the inbox is ready.
    pub(super) joining: Joining,
}

impl Client {
    /// Begins to connect; needs a Tokio runtime. A gateway that cannot be reached shows when something is asked.
    pub fn new(options: Options) -> Result<Self, MemberError> {
        let link = Arc::new(Link::start(&options)?);
        let options = Arc::new(options);
        Ok(Self { link, options })
    }

    /// Registers in a group. If the gateway's answer is lost the join is asked again, and may leave a registration
    /// behind that nobody uses; the group's policy removes it.
    pub async fn join(&self, group: &str, role: Role) -> Result<Membership, JoinError> {
        let registered = self.register(group, role).await?;
        Ok(Membership::begin(self.clone(), registered, 1)?)
    }

    /// Takes up a registration that an earlier process began.
    ///
    /// The sender identifiers are those of before. A sender of counter-mode traffic that did not save its counters
    /// as well must join afresh instead, or it repeats nonces. A ticket from before a rollover serves as well: the
    /// registration is granted its new leaf key.
    pub async fn resume(&self, mut ticket: Ticket) -> Result<Membership, JoinError> {
        keys::pinned(&self.options.keys.issuers, &ticket.issuer)?;
        let joining = self.link.joining();
        let ephemeral = Ephemeral::generate(self.options.keys.suites);
        let resume = Request::Resume(ticket.resume(Epoch(0), ephemeral.offer()));
        let (connection, answer) = self.ask(&resume).await?;
        let path = match answer {
            Response::Path(path) => path,
            Response::Granted(grant) => {
                let (suite, leaf_key) = self.renewed(&ticket, &grant, &ephemeral)?;
                ticket.renew(&grant, suite, leaf_key);
                grant.path
            }
            _ => return Err(Unusable::OtherKind("resume").into()),
        };
        let registered = Registered {
            inbox: self.link.register(ticket.group_id),
            ticket,
            connection,
            path,
            channel: None,
            joining,
        };
        Ok(Membership::begin(self.clone(), registered, 0)?)
    }

    /// Checks a grant for a registration that there is already; its leaf key, and what computes with it.
    pub(super) fn renewed(
        &self,
        ticket: &Ticket,
        grant: &Grant,
        ephemeral: &Ephemeral,
    ) -> Result<(SuiteKeys, Key), Unusable> {
        if grant.group != ticket.group_id {
            return Err(Unusable::OtherGroup(grant.group));
        }
        if grant.member != ticket.member {
            return Err(Unusable::OtherMember(grant.member));
        }
        // A rollover changes no issuer; another suite has another one.
        if grant.suite == ticket.keys.suite() && grant.issuer() != ticket.issuer {
            return Err(Unusable::OtherKey);
        }
        keys::pinned(&self.options.keys.issuers, &grant.issuer())?;
        ephemeral.open(grant).ok_or(Unusable::Leaf)
    }

    /// Whether memberships are to have push channels: where datagrams come in and can be opened.
    pub(super) fn wants_channels(&self) -> bool {
        self.options.presence.fidelity == Fidelity::Full && self.link.datagrams().are_there()
    }

    /// Closes the connection and waits, for a second at most, until the gateway knows. Memberships end with
    /// [`End::Closed`](super::End::Closed); the gateway counts them as absent.
    pub async fn close(&self) {
        self.link.close().await;
    }

    pub(super) async fn register(&self, group: &str, role: Role) -> Result<Registered, JoinError> {
        let joining = self.link.joining();
        let ephemeral = Ephemeral::generate(self.options.keys.suites);
        let join = Join {
            group: group.to_owned(),
            role,
            offer: ephemeral.offer().ok_or(Unusable::NoSuite)?,
            token: self.options.token.clone(),
            channel: self.wants_channels(),
        };
        let (connection, answer) = self.ask(&Request::Join(join)).await?;
        let Response::Granted(grant) = answer else {
            return Err(Unusable::OtherKind("join").into());
        };
        keys::pinned(&self.options.keys.issuers, &grant.issuer())?;
        let (suite, leaf_key) = ephemeral.open(&grant).ok_or(Unusable::Leaf)?;
        let issuer = grant.issuer();
        let Grant {
            group: group_id,
            member,
            role,
            leaf,
            path,
            channel,
            ..
        } = *grant;
        let ticket = Ticket {
            group: group.to_owned(),
            group_id,
            member,
            role,
            leaf,
            leaf_key,
            issuer,
            keys: suite,
        };
        Ok(Registered {
            ticket,
            connection,
            path,
            channel,
            inbox: self.link.register(group_id),
            joining,
        })
    }

    /// Asks until there is an answer that is final, on whatever connection; gives up after the client's patience.
    pub(super) async fn ask(&self, request: &Request) -> Result<(Connection, Response), JoinError> {
        let patience = self.options.patience;
        let deadline = Instant::now() + patience;
        let mut last = "nothing was tried".to_owned();
        while Instant::now() < deadline {
            let Some(connection) = self.connection(deadline, &mut last).await? else {
                break;
            };
            let mut pause = around(PAUSE);
            match timeout_at(deadline, ask(&connection, request)).await {
                Ok(Ok(Response::Refused(refusal))) if refusal.code.passes() => {
                    let asked_for = refusal.retry_after_ms.map(Duration::from_millis);
                    pause = asked_for.map_or(pause, at_least);
                    last = refusal.to_string();
                }
                Ok(Ok(Response::Refused(refusal))) => return Err(JoinError::Refused(refusal)),
                Ok(Ok(response)) => return Ok((connection, response)),
                Ok(Err(NoAnswer(why))) => last = why,
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = sleep_until(deadline) => {}
            }
        }
        Err(JoinError::GaveUp { patience, last })
    }

    /// The connection, as soon as there is one; the reason why there is none goes to `last`.
    async fn connection(
        &self,
        deadline: Instant,
        last: &mut String,
    ) -> Result<Option<Connection>, JoinError> {
        let mut state = self.link.state();
        loop {
            match &*state.borrow_and_update() {
                State::Up(connection) => return Ok(Some(connection.clone())),
                State::Down(why) => last.clone_from(why),
                State::Parked => self.link.ask(),
                State::Closed => return Err(JoinError::Closed),
            }
            if !matches!(timeout_at(deadline, state.changed()).await, Ok(Ok(()))) {
                return Ok(None);
            }
        }
    }
}
