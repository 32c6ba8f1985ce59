//! Members that follow a group by themselves and keep a record, and the ledger in which their keys are compared.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wardcast::group::ids::{Epoch, GroupId, MemberId, Role};
use wardcast::member::{Client, End, Event, JoinError, Membership, Ticket};

use super::{SOON, Site};

/// What all members of a test found out. An epoch with two keys is a fork; it is remembered and fails the test at its end.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    keys: BTreeMap<(GroupId, Epoch), (Vec<u8>, String)>,
    faults: Vec<String>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().expect("nobody panics with the ledger")
    }

    fn fault(&self, what: String) {
        self.lock().faults.push(what);
    }

    /// A member installed an epoch and found this key.
    pub(crate) fn enter(&self, group: GroupId, epoch: Epoch, key: &[u8], who: &str) {
        let mut book = self.lock();
        let first = book
            .keys
            .entry((group, epoch))
            .or_insert_with(|| (key.to_vec(), who.to_owned()));
        if first.0 != key {
            let other = first.1.clone();
            let what = format!("epoch {epoch} forked: {who} and {other} have different keys");
            book.faults.push(what);
        }
    }

    /// The newest epoch that any member installed.
    pub(crate) fn newest(&self) -> Epoch {
        let book = self.lock();
        book.keys
            .keys()
            .map(|(_, epoch)| *epoch)
            .max()
            .unwrap_or_default()
    }

    /// How many epochs were installed by somebody; all of them with one key, and no two with the same.
    pub(crate) fn check(&self) -> usize {
        let book = self.lock();
        assert!(book.faults.is_empty(), "{:#?}", book.faults);
        let mut keys: Vec<&Vec<u8>> = book.keys.values().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), book.keys.len(), "two epochs have the same key");
        keys.len()
    }
}

/// What happened to one member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Every event.
    pub(crate) events: Vec<Event>,
    /// The newest epoch that it installed.
    pub(crate) newest: Epoch,
    /// The epoch that it sends with.
    pub(crate) sending: Epoch,
    /// How its registration ended.
    pub(crate) ended: Option<End>,
}

/// A member.
pub(crate) struct Member {
    /// Its certificate's common name.
    pub(crate) name: String,
    /// Its registration.
    pub(crate) ticket: Ticket,
    record: watch::Receiver<Record>,
    leave: oneshot::Sender<()>,
    task: JoinHandle<Result<(), JoinError>>,
}

impl Member {
    /// Joins with a certificate of this name.
    pub(crate) async fn join(site: &Site, name: &str, ledger: &Ledger) -> Self {
        let joined = Self::try_join(site.client(name), name, ledger).await;
        joined.unwrap_or_else(|error| panic!("{name} cannot join: {error}"))
    }

    /// Joins as a receiver that gives its connection up as soon as it may.
    pub(crate) async fn join_to_park(site: &Site, name: &str, ledger: &Ledger) -> Self {
        let mut options = site.options(name);
        options.presence.park_after = Some(Duration::from_millis(100));
        let client = Client::new(options).expect("a client");
        let joined = client.join(super::GROUP, Role::Receiver).await;
        let membership = joined.unwrap_or_else(|error| panic!("{name} cannot join: {error}"));
        Self::follow(membership, name, ledger.clone())
    }

    /// Joins, or not.
    pub(crate) async fn try_join(
        client: Client,
        name: &str,
        ledger: &Ledger,
    ) -> Result<Self, JoinError> {
        let membership = client.join(super::GROUP, Role::Both).await?;
        Ok(Self::follow(membership, name, ledger.clone()))
    }

    /// Comes back as another process would, with what it kept.
    pub(crate) async fn resume(self, site: &Site, ledger: &Ledger) -> Self {
        self.go_away().await.come_back(site, ledger).await
    }

    /// Ends as a process would that keeps its ticket.
    pub(crate) async fn go_away(self) -> Away {
        let Self {
            name, ticket, task, ..
        } = self;
        task.abort();
        // Its connection goes with its task.
        let _ = task.await;
        Away { name, ticket }
    }
}

/// A member that nothing is left of but its ticket.
pub(crate) struct Away {
    name: String,
    ticket: Ticket,
}

impl Away {
    /// Comes back.
    pub(crate) async fn come_back(self, site: &Site, ledger: &Ledger) -> Member {
        let Self { name, ticket } = self;
        let membership = site.client(&name).resume(ticket).await;
        let membership = membership.unwrap_or_else(|error| panic!("{name} is unknown: {error}"));
        Member::follow(membership, &name, ledger.clone())
    }
}

impl Member {
    fn follow(membership: Membership, name: &str, ledger: Ledger) -> Self {
        let (publish, record) = watch::channel(Record::default());
        let (leave, leaving) = oneshot::channel();
        let ticket = membership.ticket();
        let task = tokio::spawn(record_events(
            membership,
            name.to_owned(),
            ledger,
            publish,
            leaving,
        ));
        Self {
            name: name.to_owned(),
            ticket,
            record,
            leave,
            task,
        }
    }

    /// Its registration's number.
    pub(crate) fn id(&self) -> MemberId {
        self.ticket.member
    }

    /// What happened to it so far.
    pub(crate) fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// Waits for something to be true of it.
    pub(crate) async fn until(&self, what: &str, is: impl FnMut(&Record) -> bool) {
        let mut record = self.record.clone();
        let came = timeout(SOON, record.wait_for(is)).await.is_ok();
        assert!(
            came,
            "{}: {what}: not within {SOON:?}: {:#?}",
            self.name,
            self.record()
        );
    }

    /// Waits until it holds an epoch, or a later one.
    pub(crate) async fn holds(&self, epoch: Epoch) {
        let what = format!("holds epoch {epoch}");
        self.until(&what, |record| record.newest >= epoch).await;
    }

    /// Leaves the group.
    pub(crate) async fn leave(self) -> Result<(), JoinError> {
        drop(self.leave);
        self.task.await.expect("no panic")
    }
}

async fn record_events(
    mut membership: Membership,
    name: String,
    ledger: Ledger,
    publish: watch::Sender<Record>,
    mut leaving: oneshot::Receiver<()>,
) -> Result<(), JoinError> {
    let group = membership.ticket().group_id;
    loop {
        let event = tokio::select! {
            event = membership.next() => event,
            _ = &mut leaving => return membership.leave().await,
        };
        let Some(event) = event else {
            return Ok(());
        };
        if let Event::Installed { epoch } = event {
            if epoch <= publish.borrow().newest {
                ledger.fault(format!("{name} went back to epoch {epoch}"));
            }
            // It may be retired already where many epochs came at once.
            if let Ok(key) = membership.export(epoch, "test", b"", 32) {
                ledger.enter(group, epoch, &key, &name);
            }
        }
        publish.send_modify(|record| {
            match &event {
                Event::Installed { epoch } => record.newest = *epoch,
                Event::Send { epoch } => record.sending = *epoch,
                Event::Ended(end) => record.ended = Some(end.clone()),
                _ => {}
            }
            record.events.push(event);
        });
    }
}
