//! The push channel as members have it: which keys open pushes, and how they are acknowledged.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::crypto::{ChannelKey, PushCipher};
use crate::group::ids::{Epoch, GroupId};
use crate::group::wire::datagram::{AUTHENTICATED, ChannelId, Datagram, PushKeyId};
use crate::group::wire::{Activate, GoAway, Heartbeat, Message, Push, RekeyDelivery, RekeyPacket};
use crate::udp::Shared;

/// Probes of channels that are not known yet which are kept: of joins that are answered at the same time.
const MAX_EARLY: usize = 8;

/// A datagram that is sound, and the group that it is for.
pub(super) enum Sound {
    /// A push, and the name of the key that opened it.
    Push(GroupId, Push, PushKeyId),
    /// A probe of its channel.
    Probe(GroupId),
    /// The newest epoch, in answer to a sign of life.
    Newest(GroupId, Epoch),
    /// The gateway of a parked member goes.
    GoAway(GroupId, GoAway),
}

/// What a link's datagrams are opened and verified with. Empty on a link that has no socket of its own.
#[derive(Default)]
pub(super) struct Datagrams {
    /// Whose sink they are.
    socket: Mutex<Weak<Shared>>,
    /// At most as many for each membership as it holds epochs.
    ciphers: Mutex<HashMap<PushKeyId, (Owner, PushCipher)>>,
    /// At most one for each group.
    channels: Mutex<HashMap<ChannelId, Own>>,
    /// Probes that no channel's key vouches for. A gateway probes a channel as it opens it, and the probe may well be here before
    /// what tells of the channel is read; the next one would come a quarter of a second later. Nothing is believed of them before,
    /// and the oldest make room: whoever sends others has a member wait for that next one.
    early: Mutex<VecDeque<[u8; AUTHENTICATED]>>,
    owners: AtomicU64,
}

/// A channel of a membership.
struct Own {
    owner: Owner,
    key: ChannelKey,
    /// The number of the sign of life that is not answered yet.
    asked: Option<u64>,
}

/// A membership of the link. A group may have two for a moment: one that ends, and one that took its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) number: u64,
    group: GroupId,
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Datagrams(..)")
    }
}

impl Datagrams {
    /// The link's socket is this one.
    pub(super) fn bind(&self, socket: &Arc<Shared>) {
        *lock(&self.socket) = Arc::downgrade(socket);
    }

    /// Whether datagrams come in on this link at all.
    pub(super) fn are_there(&self) -> bool {
        lock(&self.socket).strong_count() > 0
    }

    /// Sends one; what cannot be sent is lost, as any datagram may be.
    pub(super) fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let socket = lock(&self.socket).upgrade();
        if let Some(socket) = socket {
            socket.send(to, datagram);
        }
    }

    /// A membership begins.
    pub(super) fn owner(&self, group: GroupId) -> Owner {
        let number = self.owners.fetch_add(1, Ordering::Relaxed);
        Owner { number, group }
    }

    /// The group's pushes may be sealed so from now on.
    pub(super) fn hold(&self, owner: Owner, cipher: PushCipher) {
        lock(&self.ciphers).insert(cipher.name(), (owner, cipher));
    }

    /// Pushes sealed so are not opened for this owner any more.
    pub(super) fn drop_cipher(&self, owner: Owner, name: &PushKeyId) {
        let mut ciphers = lock(&self.ciphers);
        if ciphers.get(name).is_some_and(|(of, _)| *of == owner) {
            ciphers.remove(name);
        }
    }

    /// Takes probes of this channel, and of no other one of the group; whether it was probed already.
    pub(super) fn open(&self, owner: Owner, number: ChannelId, key: ChannelKey) -> bool {
        let mut channels = lock(&self.channels);
        channels.retain(|_, own| own.owner.group != owner.group);
        let probes = |bytes: &[u8; AUTHENTICATED]| {
            let said = Datagram::parse(bytes);
            matches!(said, Some(Datagram::Probe(said)) if said.channel == number && key.vouches(&said))
        };
        let mut early = lock(&self.early);
        let before = early.len();
        early.retain(|bytes| !probes(bytes));
        let probed = early.len() < before;
        let own = Own {
            owner,
            key,
            asked: None,
        };
        channels.insert(number, own);
        probed
    }

    /// Keeps a probe that may be of a channel that is about to be opened.
    fn keep(&self, bytes: &[u8]) {
        let Ok(bytes) = bytes.try_into() else {
            return;
        };
        let mut early = lock(&self.early);
        if early.len() == MAX_EARLY {
            early.pop_front();
        }
        early.push_back(bytes);
    }

    /// The answer to this sign of life is waited for, and to no earlier one.
    pub(super) fn asks(&self, number: ChannelId, asked: u64) {
        if let Some(own) = lock(&self.channels).get_mut(&number) {
            own.asked = Some(asked);
        }
    }

    /// Opens nothing for this owner any more.
    pub(super) fn forget(&self, owner: Owner) {
        lock(&self.ciphers).retain(|_, (of, _)| *of != owner);
        lock(&self.channels).retain(|_, own| own.owner != owner);
    }

    /// What a datagram brings; none when it is none, opens with no key that is held, or is not for members.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Sound> {
        let datagram = Datagram::parse(bytes)?;
        match &datagram {
            Datagram::Sealed { key, .. } => {
                let (owner, cipher) = lock(&self.ciphers).get(key).cloned()?;
                let push = Push::from_bytes(&cipher.open(&datagram)?).ok()?;
                let of = match &push {
                    Push::Rekey(RekeyDelivery { group, .. })
                    | Push::Packet(RekeyPacket { group, .. })
                    | Push::Heartbeat(Heartbeat { group, .. })
                    | Push::Activate(Activate { group, .. }) => *group,
                    _ => return None,
                };
                (of == owner.group).then_some(Sound::Push(of, push, *key))
            }
            Datagram::Probe(said) => {
                let channels = lock(&self.channels);
                let own = channels.get(&said.channel);
                let Some(own) = own.filter(|own| own.key.vouches(said)) else {
                    // While the channels are locked: the one that it is of is not opened meanwhile.
                    self.keep(bytes);
                    return None;
                };
                Some(Sound::Probe(own.owner.group))
            }
            Datagram::Newest(said) => {
                let mut channels = lock(&self.channels);
                let own = channels.get_mut(&said.channel)?;
                let sound = own.asked.is_some_and(|asked| own.key.answers(said, asked));
                sound.then(|| {
                    own.asked = None;
                    Sound::Newest(own.owner.group, said.what)
                })
            }
            Datagram::GoAway(said) => {
                let channels = lock(&self.channels);
                let own = channels.get(&said.channel)?;
                let sound = own.key.vouches(said);
                match sound.then(|| Push::from_bytes(said.what))? {
                    Ok(Push::GoAway(away)) => Some(Sound::GoAway(own.owner.group, away)),
                    _ => None,
                }
            }
            Datagram::Acknowledge(_)
            | Datagram::Report(_)
            | Datagram::Alive(_)
            | Datagram::Leaves(_) => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::group::operations::PushKey;
    use crate::group::wire::datagram::{acknowledge, go_away, leaves, probe};

    const GROUP: GroupId = GroupId([1; 16]);

    fn cipher(byte: u8) -> PushCipher {
        PushCipher::new(&PushKey([byte; 32]))
    }

    fn sealed(cipher: &PushCipher, push: &Push) -> Vec<u8> {
        cipher.seal(&[&push.to_bytes()]).expect("fits").to_vec()
    }

    fn activate(group: GroupId) -> Push {
        Push::Activate(Activate {
            group,
            epoch: Epoch(7),
        })
    }

    #[test]
    fn a_push_is_opened_with_a_key_that_is_held_and_for_its_own_group() {
        let datagrams = Datagrams::default();
        let owner = datagrams.owner(GROUP);
        let push = sealed(&cipher(1), &activate(GROUP));
        assert!(datagrams.read(&push).is_none());
        datagrams.hold(owner, cipher(1));
        let read = datagrams.read(&push);
        assert!(
            matches!(read, Some(Sound::Push(GROUP, push, key)) if push == activate(GROUP) && key == cipher(1).name())
        );
        let other = sealed(&cipher(1), &activate(GroupId([2; 16])));
        assert!(datagrams.read(&other).is_none());
        datagrams.drop_cipher(owner, &cipher(1).name());
        assert!(datagrams.read(&push).is_none());
    }

    #[test]
    fn only_the_gateway_of_this_very_channel_can_send_a_member_away() {
        let datagrams = Datagrams::default();
        let owner = datagrams.owner(GROUP);
        let (own, others) = ([3; 32], [4; 32]);
        let code = |key: [u8; 32]| {
            move |covered: &[u8]| ChannelKey::new(Key::from_bytes(key)).code(covered)
        };
        let away = GoAway {
            retry_after_ms: 1_000,
            to: Some(vec!["b.example.org:7443".to_owned()]),
        };
        let message = Push::GoAway(away.clone()).to_bytes();
        let told = go_away(ChannelId(7), &message, code(own));
        let obeyed = |bytes: &[u8]| match datagrams.read(bytes) {
            None => false,
            Some(Sound::GoAway(GROUP, read)) if read == away => true,
            Some(_) => panic!("it is taken for something else"),
        };
        assert!(!obeyed(&told), "there is no channel");
        datagrams.hold(owner, cipher(1));
        datagrams.open(owner, ChannelId(7), ChannelKey::new(Key::from_bytes(own)));
        assert!(obeyed(&told));
        // Whoever has another channel, as every other member has, or knows the group's push key.
        assert!(!obeyed(&go_away(ChannelId(7), &message, code(others))));
        assert!(!obeyed(&go_away(ChannelId(8), &message, code(own))));
        assert!(!obeyed(&sealed(&cipher(1), &Push::GoAway(away.clone()))));
        for at in 0..told.len() {
            let mut changed = told.clone();
            changed[at] ^= 1;
            assert!(!obeyed(&changed), "byte {at}");
        }
        // What else the gateway, or the member itself, said on the channel.
        let removed = Push::Activate(Activate {
            group: GROUP,
            epoch: Epoch(7),
        })
        .to_bytes();
        assert!(!obeyed(&go_away(ChannelId(7), &removed, code(own))));
        assert!(!obeyed(&go_away(ChannelId(7), b"", code(own))));
        assert!(!obeyed(&leaves(ChannelId(7), Epoch(7), code(own))));
        // Once it has come back it has another channel: what was said on this one is said no more.
        datagrams.open(
            owner,
            ChannelId(7),
            ChannelKey::new(Key::from_bytes(others)),
        );
        assert!(!obeyed(&told));
    }

    #[test]
    fn a_probe_that_comes_before_its_channel_is_known_is_found_as_that_is_opened() {
        let datagrams = Datagrams::default();
        let owner = datagrams.owner(GROUP);
        let key = |byte| ChannelKey::new(Key::from_bytes([byte; 32]));
        let early = |number, byte| {
            let asked = probe(ChannelId(number), 9, |covered| key(byte).code(covered));
            assert!(datagrams.read(&asked).is_none());
        };
        assert!(!datagrams.open(owner, ChannelId(4), key(3)));
        // Of a channel with the number of the one before, which is still there.
        early(4, 5);
        // Others do not hide it as long as they are few, and none is taken for one of a channel that it is not of.
        (0..MAX_EARLY as u32 - 1).for_each(|number| early(number + 6, 5));
        assert!(!datagrams.open(owner, ChannelId(4), key(6)));
        assert!(!datagrams.open(owner, ChannelId(5), key(5)));
        assert!(datagrams.open(owner, ChannelId(4), key(5)));
        assert!(!datagrams.open(owner, ChannelId(4), key(5)), "once");
        // Among many the oldest is forgotten.
        datagrams.forget(owner);
        (0..=MAX_EARLY as u32).for_each(|number| early(number, 7));
        assert!(!datagrams.open(owner, ChannelId(0), key(7)));
        assert!(datagrams.open(owner, ChannelId(1), key(7)));
    }

    #[test]
    fn what_ends_takes_nothing_from_what_took_its_place() {
        let datagrams = Datagrams::default();
        let [ends, begins] = [datagrams.owner(GROUP), datagrams.owner(GROUP)];
        let key = || ChannelKey::new(Key::from_bytes([3; 32]));
        for owner in [ends, begins] {
            datagrams.hold(owner, cipher(1));
            datagrams.open(owner, ChannelId(4), key());
        }
        datagrams.hold(ends, cipher(2));
        datagrams.drop_cipher(ends, &cipher(1).name());
        datagrams.forget(ends);
        let code = |covered: &[u8]| key().code(covered);
        let asked = probe(ChannelId(4), 9, code);
        assert!(matches!(datagrams.read(&asked), Some(Sound::Probe(GROUP))));
        assert!(
            datagrams
                .read(&sealed(&cipher(1), &activate(GROUP)))
                .is_some()
        );
        assert!(
            datagrams
                .read(&sealed(&cipher(2), &activate(GROUP)))
                .is_none()
        );
        // Neither a false code nor a member's own words are a probe.
        assert!(
            datagrams
                .read(&probe(ChannelId(4), 9, |_| [0; 16]))
                .is_none()
        );
        assert!(
            datagrams
                .read(&acknowledge(ChannelId(4), Epoch(1), code))
                .is_none()
        );
        datagrams.forget(begins);
        assert!(datagrams.read(&asked).is_none());
    }
}
