//! How members get in: real ones and those that only acknowledge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use wardcast::group::ids::{MemberId, Role};
use wardcast::member::{Client, Event, Membership, Observed, Options};

use super::Manner;
use super::datagrams::Opener;
use super::sampled::{self, Sampled};
use super::seen::{Board, Reporter, What};
use crate::Failure;
use crate::operator::GROUP;
use crate::site::Site;
use crate::sockets::{Keep, Sockets};

/// How long a join is tried, over passing refusals.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);

/// What it takes to let a member in.
#[derive(Clone)]
pub(crate) struct Door {
    gateway: SocketAddr,
    manner: Manner,
    /// What is seen of members.
    pub(super) board: Arc<Board>,
    tap: mpsc::Sender<Observed>,
    shared: sampled::Shared,
}

/// A member that is in.
pub(super) enum Entered {
    Real(MemberId),
    Sampled(Box<Sampled>),
}

impl Door {
    /// To a gateway; with what is pushed to the first member.
    pub(super) fn new(
        gateway: SocketAddr,
        manner: Manner,
    ) -> Result<(Self, mpsc::Receiver<Observed>), Failure> {
        let (tap, observed) = mpsc::channel(1024);
        let shared = sampled::Shared {
            sockets: Sockets::start(Keep::Apart)?,
            opener: Arc::default(),
        };
        let door = Door {
            gateway,
            manner,
            board: Arc::default(),
            tap,
            shared,
        };
        Ok((door, observed))
    }

    pub(super) fn sleep(&self, asleep: bool) {
        self.shared.sockets.sleep(asleep);
    }

    /// Whether this member only acknowledges: the first never does, the others of the share evenly.
    pub(super) fn is_sampled(&self, member: usize) -> bool {
        self.manner.is_sampled(member)
    }

    /// Lets a member in as what it is.
    pub(super) async fn enter(self, options: Options, member: usize) -> Result<Entered, Failure> {
        if self.is_sampled(member) {
            let sampled = self.sampled(options, member).await?;
            return Ok(Entered::Sampled(Box::new(sampled)));
        }
        Ok(Entered::Real(self.real(options, member).await?))
    }

    /// As whom a member connects.
    pub(crate) fn options(&self, site: &Site, member: usize) -> Options {
        let credentials = site.members()[member].clone();
        let mut options =
            Options::new(self.gateway, "localhost", credentials, site.trust().clone());
        options.keep_alive = self.manner.keep_alive.unwrap_or(options.keep_alive);
        options
    }

    /// Lets a member in that only acknowledges.
    pub(crate) async fn sampled(self, options: Options, member: usize) -> Result<Sampled, Failure> {
        let reporter = self.reporter(member);
        sampled::join(options, self.manner.role(member), reporter, self.shared).await
    }

    /// Lets a member in that computes keys, and is followed by a task of its own.
    async fn real(&self, options: Options, member: usize) -> Result<MemberId, Failure> {
        let first = member == 0;
        let options = Options {
            tap: first.then(|| self.tap.clone()),
            patience: JOIN_PATIENCE,
            ..options
        };
        let role: Role = self.manner.role(member);
        let membership = Client::new(options)?.join(GROUP, role).await?;
        let id = membership.member();
        let opener = first.then(|| self.shared.opener.clone());
        tokio::spawn(follow(membership, self.reporter(member), opener));
        Ok(id)
    }

    fn reporter(&self, member: usize) -> Reporter {
        let board = self.board.clone();
        Reporter { member, board }
    }
}

/// Reports what happens, and tells those who only acknowledge what this member reads pushes with.
async fn follow(mut membership: Membership, reporter: Reporter, opener: Option<Arc<Opener>>) {
    while let Some(event) = membership.next().await {
        match event {
            Event::Installed { epoch } => {
                if let Some((opener, cipher)) = opener.as_ref().zip(membership.push_cipher()) {
                    opener.learn(cipher);
                }
                reporter.tell(What::Holds(epoch));
            }
            Event::Send { epoch } => reporter.tell(What::Sends(epoch)),
            Event::Ended(end) => reporter.tell(What::Over(format!("{end:?}"))),
            Event::Rejoined { .. } => reporter.tell(What::Over("it joined afresh".to_owned())),
            Event::Retired { .. } | Event::Disconnected { .. } | Event::Resumed { .. } => {}
        }
    }
}
