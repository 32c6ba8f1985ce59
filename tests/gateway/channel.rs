//! Rekeys by datagram: they are acknowledged like any, and a network that eats them costs time and nothing else.

use std::collections::hash_map::{Entry, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use wardcast::group::ids::{Epoch, Role};
use wardcast::group::wire::datagram::{ChannelId, acknowledge, probe};
use wardcast::group::wire::{Join, OpenChannel, Request, Response};
use wardcast::member::{Client, Event, Membership, Options};

use crate::support::{GROUP, SOON, Setup, Site, raw};

const SENT: &str = "wardcast_datagrams_sent_total";
const ACKNOWLEDGED: &str = "wardcast_datagrams_acknowledged_total";
const ACTIVATIONS: &str = "wardcast_datagrams_activations_total";
const GIVEN_UP: &str = "wardcast_datagrams_given_up_total";

/// A network between members and gateway that eats a share of the datagrams that are not QUIC's.
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    /// In percent.
    pub(crate) eats: Arc<AtomicU32>,
    /// How often it has forgotten who is behind which address.
    moves: Arc<AtomicU32>,
    /// Datagrams of QUIC that it has carried, both ways.
    carried: Arc<AtomicU32>,
}

impl Network {
    pub(crate) async fn start(gateway: SocketAddr) -> Self {
        let front = Arc::new(socket().await);
        let address = front.local_addr().expect("is bound");
        let eats = Arc::new(AtomicU32::new(0));
        let moves = Arc::new(AtomicU32::new(0));
        let carried = Arc::new(AtomicU32::new(0));
        let network = Network {
            address,
            eats: eats.clone(),
            moves: moves.clone(),
            carried: carried.clone(),
        };
        let appetite = Appetite { eats, carried };
        tokio::spawn(async move {
            let mut backs: HashMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)> = HashMap::new();
            let (mut buffer, mut count, mut moved) = ([0; 2048], 0_u32, 0);
            while let Ok((length, from)) = front.recv_from(&mut buffer).await {
                let now = moves.load(Ordering::Relaxed);
                if std::mem::replace(&mut moved, now) != now {
                    backs.drain().for_each(|(_, (_, task))| task.abort());
                }
                if let Entry::Vacant(new) = backs.entry(from) {
                    let back = Arc::new(socket().await);
                    let back_to = back_to(front.clone(), from, back.clone(), appetite.clone());
                    new.insert((back, tokio::spawn(back_to).abort_handle()));
                }
                if !appetite.eats(&buffer[..length], &mut count) {
                    let _ = backs[&from].0.send_to(&buffer[..length], gateway).await;
                }
            }
        });
        network
    }

    /// From now on members come from other addresses, and what goes to the old ones is lost.
    pub(crate) fn moves(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }
}

async fn socket() -> UdpSocket {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    UdpSocket::bind(any).await.expect("binds")
}

async fn back_to(
    front: Arc<UdpSocket>,
    member: SocketAddr,
    back: Arc<UdpSocket>,
    appetite: Appetite,
) {
    let (mut buffer, mut count) = ([0; 2048], 50_u32);
    while let Ok((length, _)) = back.recv_from(&mut buffer).await {
        if !appetite.eats(&buffer[..length], &mut count) {
            let _ = front.send_to(&buffer[..length], member).await;
        }
    }
}

/// What it eats, and what it carried.
#[derive(Clone)]
struct Appetite {
    eats: Arc<AtomicU32>,
    carried: Arc<AtomicU32>,
}

impl Appetite {
    /// Spread over what comes, the same in every run.
    fn eats(&self, bytes: &[u8], count: &mut u32) -> bool {
        let ours = bytes.first().is_some_and(|first| (4..16).contains(first));
        self.carried.fetch_add(u32::from(!ours), Ordering::Relaxed);
        *count = (*count + 37 * u32::from(ours)) % 100;
        ours && *count < self.eats.load(Ordering::Relaxed)
    }
}

async fn join(site: &Site, name: &str, gateway: SocketAddr) -> Membership {
    let options = Options {
        address: gateway,
        ..site.options(name)
    };
    enter(options).await
}

pub(crate) async fn enter(options: Options) -> Membership {
    let client = Client::new(options).expect("a client");
    client.join(GROUP, Role::Both).await.expect("is admitted")
}

/// Waits until a counter is at least this.
pub(crate) async fn reaches(site: &Site, counter: &str, least: u64) {
    let began = Instant::now();
    while site.counter(counter).await < least {
        assert!(began.elapsed() < SOON, "{counter} does not reach {least}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until all members hold the group's newest epoch and send with it; which that is.
pub(crate) async fn current(site: &Site, members: &mut [Membership]) -> Epoch {
    let epoch = site.group(GROUP).await.epoch;
    for member in members {
        let until = async {
            while member.sending().is_none_or(|sending| sending < epoch) {
                let event = member.next().await.expect("it goes on");
                assert!(!matches!(event, Event::Ended(_)), "{event:?}");
            }
        };
        let done = tokio::time::timeout(SOON, until).await;
        done.unwrap_or_else(|_| panic!("a member does not send with {epoch}"));
    }
    epoch
}

/// All acknowledged the newest epoch, and compute the same key.
pub(crate) async fn agree(site: &Site, members: &[Membership], epoch: Epoch) {
    let began = Instant::now();
    while site.group(GROUP).await.acknowledged as usize != members.len() {
        assert!(began.elapsed() < SOON, "all acknowledge");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let keys = members
        .iter()
        .map(|member| member.export(epoch, "test", b"", 16).expect("is held"));
    let keys: std::collections::HashSet<Vec<u8>> = keys.map(|key| key.to_vec()).collect();
    assert_eq!(keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rekeys_go_by_datagram_and_are_acknowledged() {
    const MEMBERS: usize = 8;
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        members.push(join(&site, &format!("member-{number}"), site.quic).await);
    }
    current(&site, &mut members).await;
    // A rekey goes to all by datagram once every channel was probed and the token has told the key that seals it. Either may
    // be late on a busy machine, and an activation that comes before its key goes by stream.
    let (mut whole, began) = (0, Instant::now());
    while whole < 5 {
        assert!(
            began.elapsed() < SOON,
            "{whole} rekeys went by datagram alone"
        );
        let (sent, acknowledged) = (site.counter(SENT).await, site.counter(ACKNOWLEDGED).await);
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
        let all = MEMBERS as u64;
        let by_datagram = site.counter(SENT).await == sent + all;
        let heard = site.counter(ACKNOWLEDGED).await >= acknowledged + all;
        whole += u32::from(by_datagram && heard);
    }
    // An eviction, too: whoever is gone is told by stream, the others by datagram.
    let gone = members.pop().expect("there are eight").member();
    site.evict(GROUP, gone).await;
    let epoch = current(&site, &mut members).await;
    agree(&site, &members, epoch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_are_told_to_switch_by_datagram() {
    const MEMBERS: usize = 66; // more than are told one by one
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let mut joining = tokio::task::JoinSet::new();
    for number in 0..MEMBERS {
        let options = site.options(&format!("member-{number}"));
        joining.spawn(enter(options));
    }
    let mut members = joining.join_all().await;
    current(&site, &mut members).await;
    let began = Instant::now();
    while site.counter(ACTIVATIONS).await < MEMBERS as u64 {
        assert!(began.elapsed() < SOON, "no activation went by datagram");
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_eats_datagrams_costs_time_alone() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let network = Network::start(site.quic).await;
    let mut members = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        members.push(join(&site, name, network.address).await);
    }
    current(&site, &mut members).await;
    reaches(&site, ACKNOWLEDGED, 3).await;
    site.rotate(GROUP).await;
    current(&site, &mut members).await;
    for eats in [30, 60] {
        network.eats.store(eats, Ordering::Relaxed);
        for _ in 0..3 {
            site.rotate(GROUP).await;
            let epoch = current(&site, &mut members).await;
            agree(&site, &members, epoch).await;
        }
    }
    // Whoever lost much is served by stream until a probe is answered.
    network.eats.store(0, Ordering::Relaxed);
    let (began, before) = (Instant::now(), site.counter(ACKNOWLEDGED).await);
    while site.counter(ACKNOWLEDGED).await == before {
        // The next probe may be half a minute away: pauses between those that were eaten have doubled.
        assert!(began.elapsed() < 2 * SOON, "nobody is found again");
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
    }
    // All of them: what was tried by datagram is given up and goes by stream.
    network.eats.store(100, Ordering::Relaxed);
    for _ in 0..2 {
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
    }
    assert!(site.counter(SENT).await > 0);
    reaches(&site, GIVEN_UP, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_behind_a_network_without_datagrams_is_served_by_streams_from_the_first() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let network = Network::start(site.quic).await;
    network.eats.store(100, Ordering::Relaxed);
    let mut members = vec![join(&site, "anna", network.address).await];
    // What the grant brought is acknowledged by stream, though the channel came with it, and nothing was pushed for that.
    let epoch = site.group(GROUP).await.epoch;
    agree(&site, &members, epoch).await;
    assert_eq!(site.counter("wardcast_pushes_failed_total").await, 0);
    for _ in 0..3 {
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
    }
    assert_eq!(site.counter(SENT).await, 0);
    assert_eq!(site.counter(GIVEN_UP).await, 0);
}

/// Datagrams of QUIC from a join until all is quiet, of a member that is connected and only receives.
async fn carried_for(site: &Site, name: &str, channel: bool) -> u32 {
    const QUIET: Duration = Duration::from_millis(150);
    let network = Network::start(site.quic).await;
    let connection = raw::connect_by(site, name, network.address).await;
    let connection = connection.expect("it is admitted");
    tokio::time::sleep(QUIET).await;
    let before = network.carried.load(Ordering::Relaxed);
    let join = Request::Join(Join {
        role: Role::Receiver,
        channel,
        ..raw::join(GROUP)
    });
    let Response::Granted(grant) = raw::ask(&connection, &join).await else {
        panic!("not granted");
    };
    assert_eq!(grant.channel.is_some(), channel);
    if !channel {
        let open = Request::OpenChannel(OpenChannel {
            group: GROUP.to_owned(),
            member: grant.member,
            epoch: Some(Epoch(0)),
        });
        let opened = raw::ask(&connection, &open).await;
        assert!(matches!(opened, Response::ChannelOpened(_)), "{opened:?}");
    }
    tokio::time::sleep(QUIET).await;
    network.carried.load(Ordering::Relaxed) - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_comes_with_the_grant_spares_datagrams() {
    const JOINS: u32 = 4;
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let (mut asked_for, mut granted) = (0, 0);
    // Whether an acknowledgement, or the end of a stream, is a datagram of its own is a matter of time: of several joins the sums are
    // told apart by more than that.
    for number in 0..JOINS {
        let name = format!("member-{number}");
        asked_for += carried_for(&site, &name, false).await;
        granted += carried_for(&site, &name, true).await;
    }
    assert!(granted + JOINS <= asked_for, "{granted} and {asked_for}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_address_changes_is_found_again() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let network = Network::start(site.quic).await;
    let options = Options {
        address: network.address,
        keep_alive: Duration::from_millis(300),
        ..site.options("anna")
    };
    let mut members = vec![enter(options).await];
    current(&site, &mut members).await;
    reaches(&site, ACKNOWLEDGED, 1).await;
    network.moves();
    // What is sent to the old address is not acknowledged, and the probe that follows goes to the new one. From then on
    // rekeys are acknowledged by datagram again, on the same connection.
    let began = Instant::now();
    while site.counter(ACKNOWLEDGED).await < 5 {
        assert!(began.elapsed() < SOON, "it is not found again");
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
    }
    assert_eq!(members[0].counters().resumes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_makes_up_is_refused_and_counted() {
    const REFUSED: &str = "wardcast_datagrams_refused_total";
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let mut members = vec![join(&site, "anna", site.quic).await];
    current(&site, &mut members).await;
    let stranger = socket().await;
    let mut forged = vec![vec![4; 60], vec![5; 3], vec![15; 29]];
    for channel in 0..4 {
        let guess = |_: &[u8]| [channel as u8; 16];
        forged.push(acknowledge(ChannelId(channel), Epoch(1 << 40), guess).to_vec());
        forged.push(probe(ChannelId(channel), 7, guess).to_vec());
    }
    let before = site.counter(REFUSED).await;
    for datagram in &forged {
        stranger
            .send_to(datagram, site.quic)
            .await
            .expect("is sent");
    }
    reaches(&site, REFUSED, before + forged.len() as u64).await;
    let mut buffer = [0; 64];
    let answered =
        tokio::time::timeout(Duration::from_millis(200), stranger.recv_from(&mut buffer));
    assert!(answered.await.is_err(), "nobody is answered");
    site.rotate(GROUP).await;
    let epoch = current(&site, &mut members).await;
    agree(&site, &members, epoch).await;
}
