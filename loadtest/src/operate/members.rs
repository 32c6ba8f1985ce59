//! Members that keep a record of every epoch: when they held it, with which key, and when they were without a connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use wardcast::group::ids::{Epoch, Role};
use wardcast::member::{Client, Event, Membership, Options};

use crate::Failure;
use crate::operator::GROUP;
use crate::report::Progress;
use crate::site::Site;

/// Joins at a time.
const AT_ONCE: usize = 32;
/// How long all of them may take for something: it is said then who does not come.
const PATIENCE: Duration = Duration::from_secs(120);
const LABEL: &str = "load test";

/// What one member went through.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// When it held which epoch, and what it exported from it.
    pub(super) held: BTreeMap<Epoch, (Instant, Vec<u8>)>,
    /// When it lost its connection, and when the gateway knew it again.
    pub(super) away: Vec<(Instant, Option<Instant>)>,
    /// What must not happen.
    pub(super) fault: Option<String>,
}

impl Record {
    fn newest(&self) -> Epoch {
        self.held.keys().next_back().copied().unwrap_or_default()
    }

    fn is_away(&self) -> bool {
        self.away.last().is_some_and(|(_, back)| back.is_none())
    }
}

/// All of them.
pub(super) struct Members {
    records: Vec<watch::Receiver<Record>>,
    _clients: Vec<Client>,
    _following: JoinSet<()>,
}

impl Members {
    /// Joins with all certificates of a site.
    pub(super) async fn join(site: &Site, address: SocketAddr) -> Result<Self, Failure> {
        let mut progress = Progress::begin("join");
        let (mut records, mut clients) = (Vec::new(), Vec::new());
        let mut following = JoinSet::new();
        for some in site.members().chunks(AT_ONCE) {
            let mut joining = JoinSet::new();
            for credentials in some {
                let trust = site.trust().clone();
                let options = Options::new(address, "localhost", credentials.clone(), trust);
                let client = Client::new(options)?;
                clients.push(client.clone());
                joining.spawn(async move { client.join(GROUP, Role::Both).await });
            }
            while let Some(joined) = joining.join_next().await {
                let (publish, record) = watch::channel(Record::default());
                following.spawn(follow(joined??, publish));
                records.push(record);
            }
            progress.at(records.len(), site.members().len());
        }
        progress.end(&format!("{} members", records.len()));
        Ok(Self {
            records,
            _clients: clients,
            _following: following,
        })
    }

    /// Waits until something is so of each.
    async fn each(&self, what: &str, is: impl Fn(&Record) -> bool) -> Result<(), Failure> {
        let until = tokio::time::Instant::now() + PATIENCE;
        for (number, record) in self.records.iter().enumerate() {
            let mut record = record.clone();
            let waited = timeout_at(until, record.wait_for(|record| is(record)));
            if !matches!(waited.await, Ok(Ok(_))) {
                let count = self.records.iter().filter(|own| !is(&own.borrow())).count();
                let own = self.records[number].borrow().newest();
                return Err(format!(
                    "{count} members {what} within {PATIENCE:?}; one of them holds epoch {own}"
                )
                .into());
            }
        }
        Ok(())
    }

    /// Waits until each holds an epoch or a later one.
    pub(super) async fn hold(&self, epoch: Epoch) -> Result<(), Failure> {
        let what = format!("do not hold epoch {epoch}");
        self.each(&what, |record| record.newest() >= epoch).await
    }

    /// Waits until the gateway knows each of them again after it was away.
    pub(super) async fn back(&self) -> Result<(), Failure> {
        let is_back = |record: &Record| !record.away.is_empty() && !record.is_away();
        self.each("do not come back", is_back).await
    }

    /// What they went through so far.
    pub(super) fn records(&self) -> Vec<Record> {
        self.records
            .iter()
            .map(|record| record.borrow().clone())
            .collect()
    }
}

/// How many epochs there are of which two members have different keys.
pub(super) fn forks(records: &[Record]) -> usize {
    let mut first: HashMap<Epoch, &[u8]> = HashMap::new();
    let mut forked = BTreeSet::new();
    for (epoch, (_, key)) in records.iter().flat_map(|record| &record.held) {
        if *first.entry(*epoch).or_insert(key) != key.as_slice() {
            forked.insert(*epoch);
        }
    }
    forked.len()
}

async fn follow(mut membership: Membership, publish: watch::Sender<Record>) {
    while let Some(event) = membership.next().await {
        let now = Instant::now();
        let key = match event {
            Event::Installed { epoch } => membership.export(epoch, LABEL, b"", 32).ok(),
            _ => None,
        };
        publish.send_modify(|record| match event {
            Event::Installed { epoch } => {
                let key = key.map(|key| key.to_vec()).unwrap_or_default();
                record.held.insert(epoch, (now, key));
            }
            Event::Disconnected { .. } => record.away.push((now, None)),
            Event::Resumed { .. } => {
                if let Some((_, back)) = record.away.last_mut() {
                    *back = Some(now);
                }
            }
            Event::Rejoined { .. } => record.fault = Some("it joined afresh".to_owned()),
            Event::Ended(end) => record.fault = Some(format!("its registration ended: {end:?}")),
            _ => {}
        });
    }
}
