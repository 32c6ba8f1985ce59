//! Members that have all that costs a gateway something, and compute nothing: a connection, a channel, a place in the tree, and what
//! they say.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::{Connection, ConnectionError, Endpoint, TokioRuntime};
use tokio::sync::watch;
use tokio::time::interval;
use wardcast::crypto::{ChannelKey, Key};
use wardcast::group::ids::{Epoch, MemberId, Role};
use wardcast::group::wire::datagram::{
    CHANNEL_LABEL, ChannelId, Datagram, acknowledge, alive, channel_context, report,
};
use wardcast::group::wire::{EpochHeader, Message, Park, Push, PushReply, Request, Response};
use wardcast::member::{Client, Event, Options, Sockets};
use wardcast::udp::{Shared, Sink, endpoint_config};

use crate::Failure;
use crate::crowd::sampled::{LIMIT, ask, channel, enter};
use crate::operator::GROUP;
use crate::site::Site;

/// How often somebody's report is due.
const TICK: Duration = Duration::from_millis(20);
/// Acknowledgements that are sent at once, and the pause after them: more the gateway's socket may not hold.
const AT_ONCE: usize = 512;
const BETWEEN: Duration = Duration::from_millis(1);
/// How long a member may have to wait until it can be parked.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of them.
pub(crate) struct Lean {
    line: Arc<Line>,
}

/// What is said on their channels.
struct Line {
    channels: Mutex<HashMap<ChannelId, Channel>>,
    /// Channels that were probed before it was known that they are there: at most as many as there are.
    early: Mutex<HashSet<ChannelId>>,
    held: watch::Receiver<Epoch>,
}

/// A member that opens everything, and shows the others what to say that they hold.
pub(crate) struct Real {
    pub(crate) held: watch::Receiver<Epoch>,
    /// How many epochs it heard by multicast.
    pub(crate) heard: watch::Receiver<u64>,
}

impl Real {
    /// The first of the members.
    pub(crate) async fn join(
        site: &Site,
        gateway: SocketAddr,
        sockets: Sockets,
    ) -> Result<Self, Failure> {
        let credentials = site.members().first().ok_or("there are members")?;
        let (credentials, trust) = (credentials.clone(), site.trust().clone());
        let options = Options {
            sockets,
            ..Options::new(gateway, "localhost", credentials, trust)
        };
        let mut membership = Client::new(options)?.join(GROUP, Role::Receiver).await?;
        let ((hold, held), (hear, heard)) = (watch::channel(Epoch(0)), watch::channel(0));
        tokio::spawn(async move {
            while let Some(event) = membership.next().await {
                if let Event::Installed { epoch } = event {
                    hear.send_replace(membership.counters().heard);
                    hold.send_replace(epoch);
                }
            }
        });
        Ok(Real { held, heard })
    }
}

/// Where some members are.
#[derive(Clone)]
pub(crate) struct Seat {
    endpoint: Endpoint,
    socket: Arc<Shared>,
}

/// A member that has joined.
pub(crate) struct Joined {
    connection: Connection,
    member: MemberId,
    /// Whether the gateway offered it a multicast.
    pub(crate) multicast: bool,
}

#[derive(Clone)]
struct Channel {
    /// Its connection's number while that lasts.
    connection: usize,
    /// The epoch that its member was granted.
    granted: Epoch,
    key: ChannelKey,
    gateway: SocketAddr,
    socket: Arc<Shared>,
}

impl Lean {
    /// They hold what is shown here: what a real member does.
    pub(crate) fn new(held: watch::Receiver<Epoch>) -> Arc<Self> {
        let line = Arc::new(Line {
            channels: Mutex::default(),
            early: Mutex::default(),
            held,
        });
        Arc::new(Lean { line })
    }

    /// A socket for some of them.
    pub(crate) fn seat(&self) -> Result<Seat, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let socket = Shared::new(socket, self.line.clone())?;
        let (config, runtime) = (endpoint_config(), Arc::new(TokioRuntime));
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket.clone(), runtime)?;
        Ok(Seat { endpoint, socket })
    }

    /// One more joins, and has a channel.
    pub(crate) async fn join(
        self: Arc<Self>,
        options: Options,
        seat: Seat,
    ) -> Result<Joined, Failure> {
        let Seat { endpoint, socket } = seat;
        let (connection, grant, _) = enter(&options, &endpoint, Role::Receiver).await?;
        let header = EpochHeader::parse(&grant.path.header)?.header;
        tokio::spawn(serve(connection.clone()));
        let opened = channel(&connection, &grant, header.epoch).await?;
        let opened = opened.ok_or("no channel was opened")?;
        let multicast = opened.multicast.is_some();
        let number = ChannelId(opened.channel);
        let mut key = [0; 32];
        let context = channel_context(&header.group, grant.member, number);
        connection
            .export_keying_material(&mut key, CHANNEL_LABEL, &context)
            .map_err(|_| "the connection is over")?;
        let channel = Channel {
            connection: connection.stable_id(),
            granted: header.epoch,
            key: ChannelKey::new(Key::from_bytes(key)),
            gateway: connection.remote_address(),
            socket,
        };
        self.line.open(number, channel);
        tokio::spawn(self.line.clone().follow(number, connection.clone()));
        Ok(Joined {
            connection,
            member: grant.member,
            multicast,
        })
    }

    /// Gives a member's connection up, as soon as the gateway knows that its channel works.
    pub(crate) async fn park(self: Arc<Self>, joined: Joined) -> Result<(), Failure> {
        let park = Request::Park(Park {
            group: GROUP.to_owned(),
            member: joined.member,
        });
        let began = Instant::now();
        loop {
            match ask(&joined.connection, &park).await? {
                Response::Parked(_) => break,
                Response::Refused(refusal) if began.elapsed() > PATIENCE => {
                    return Err(format!("it cannot be parked: {refusal}").into());
                }
                Response::Refused(_) => tokio::time::sleep(TICK).await,
                other => return Err(format!("a parking was answered with {other:?}").into()),
            }
        }
        joined.connection.close(0_u32.into(), b"parked");
        Ok(())
    }

    /// From now on each says once in this time that it is there, evenly spread, and acknowledges what is held by whoever is real, a
    /// few at once.
    pub(crate) fn live(self: Arc<Self>, every: Duration) {
        tokio::spawn(async move {
            let (mut ticks, mut next, mut held) = (interval(TICK), 0.0, Epoch(0));
            loop {
                ticks.tick().await;
                let numbers: Vec<ChannelId> = lock(&self.line.channels).keys().copied().collect();
                let newest = *self.line.held.borrow();
                if std::mem::replace(&mut held, newest) != newest {
                    for some in numbers.chunks(AT_ONCE) {
                        some.iter()
                            .for_each(|number| self.line.acknowledge(*number));
                        tokio::time::sleep(BETWEEN).await;
                    }
                }
                let share = TICK.as_secs_f64() / every.as_secs_f64() * numbers.len() as f64;
                let (from, until) = (next as usize, (next + share) as usize);
                for number in numbers.iter().cycle().skip(from).take(until - from) {
                    self.line.alive(*number);
                }
                next = (next + share) % numbers.len().max(1) as f64;
            }
        });
    }

    /// From now on each reports once in this time, evenly spread.
    pub(crate) fn report(self: Arc<Self>, every: Duration) {
        tokio::spawn(async move {
            let mut numbers: Vec<ChannelId> = lock(&self.line.channels).keys().copied().collect();
            numbers.sort_unstable();
            let share = TICK.as_secs_f64() / every.as_secs_f64() * numbers.len() as f64;
            let (mut ticks, mut due) = (interval(TICK), 0.0);
            let mut next = numbers.iter().cycle();
            loop {
                ticks.tick().await;
                due += share;
                while due >= 1.0 {
                    due -= 1.0;
                    if let Some(number) = next.next() {
                        self.line.report(*number);
                    }
                }
            }
        });
    }

    /// All of them report for the first time, a few at once.
    pub(crate) async fn hear(&self) {
        let numbers: Vec<ChannelId> = lock(&self.line.channels).keys().copied().collect();
        for some in numbers.chunks(64) {
            some.iter().for_each(|number| self.line.report(*number));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Line {
    /// There is one more; it may have been probed already.
    fn open(&self, number: ChannelId, channel: Channel) {
        let probed = {
            let mut channels = lock(&self.channels);
            channels.insert(number, channel);
            lock(&self.early).remove(&number)
        };
        if probed {
            self.acknowledge(number);
        }
    }

    /// A channel ends with its connection, and its number may be given to another one then; or it is parked, and goes on.
    async fn follow(self: Arc<Self>, number: ChannelId, connection: Connection) {
        if connection.closed().await == ConnectionError::LocallyClosed {
            return;
        }
        let mut channels = lock(&self.channels);
        let own = |channel: &Channel| channel.connection == connection.stable_id();
        if channels.get(&number).is_some_and(own) {
            channels.remove(&number);
        }
    }

    /// Datagrams get through, which is acknowledged as by any member: at once, or when it is known what they are of.
    fn probed(&self, number: ChannelId) {
        {
            let channels = lock(&self.channels);
            if !channels.contains_key(&number) {
                lock(&self.early).insert(number);
                return;
            }
        }
        self.acknowledge(number);
    }

    fn report(&self, number: ChannelId) {
        self.say(number, |channel, held| {
            report(number, held, |covered| channel.key.code(covered))
        });
    }

    fn acknowledge(&self, number: ChannelId) {
        self.say(number, |channel, held| {
            acknowledge(number, held, |covered| channel.key.code(covered))
        });
    }

    fn alive(&self, number: ChannelId) {
        self.say(number, |channel, _| {
            alive(number, 0, |covered| channel.key.code(covered))
        });
    }

    /// Says something, with the epoch that is held: what the real member does, or what was granted and that one has not yet.
    fn say<const N: usize>(
        &self,
        number: ChannelId,
        what: impl FnOnce(&Channel, Epoch) -> [u8; N],
    ) {
        let known = lock(&self.channels).get(&number).cloned();
        if let Some(channel) = known {
            let held = channel.granted.max(*self.held.borrow());
            channel.socket.send(channel.gateway, &what(&channel, held));
        }
    }
}

impl Sink for Line {
    fn take(&self, datagrams: &[(SocketAddr, &[u8])]) {
        for (_, bytes) in datagrams {
            if let Some(Datagram::Probe(said)) = Datagram::parse(bytes) {
                self.probed(said.channel);
            }
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line(..)")
    }
}

/// What comes on streams is taken at its word.
async fn serve(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let Ok(bytes) = receive.read_to_end(LIMIT).await else {
            return;
        };
        let epoch = match Push::from_bytes(&bytes) {
            Ok(Push::Rekey(rekey)) => {
                EpochHeader::parse(&rekey.header).map_or(Epoch(0), |parsed| parsed.header.epoch)
            }
            Ok(Push::Activate(activate)) => activate.epoch,
            _ => Epoch(0),
        };
        // A lost connection shows in what follows.
        let _ = send.write_all(&PushReply::ack(epoch).to_bytes()).await;
        let _ = send.finish();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
