//! Whom a group reaches by datagram, and with what its pushes are sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::crypto::PushCipher;
use crate::engine::channel::{Channel, Channels, Newcomer, Opening, SealedRekey, Volley};
use crate::group::ids::{Epoch, GroupId};
use crate::group::machine::{NO_EDGES, Rekey};
use crate::group::operations::PushKey;
use crate::group::wire::{Activate, Message, Push};

/// A group's part of the push channel.
pub(super) struct Fan {
    channels: Arc<Channels>,
    /// How many channels the group has open.
    open: usize,
    /// The newest epoch that was delivered, told to each channel.
    delivered: Arc<AtomicU64>,
    /// Seals what follows an epoch, once the token has told its key.
    cipher: Option<(Epoch, PushCipher)>,
    /// The epoch whose key the token was asked for.
    asked: Epoch,
    /// Senders are to switch to this epoch, and are told so when its key is known.
    activating: Option<Epoch>,
}

impl Fan {
    pub(super) fn new(channels: Arc<Channels>, delivered: Epoch) -> Self {
        Fan {
            channels,
            open: 0,
            delivered: Arc::new(AtomicU64::new(delivered.0)),
            cipher: None,
            asked: Epoch(0),
            activating: None,
        }
    }

    /// Opens a channel for a member; none when that cannot be had.
    pub(super) fn open(&mut self, newcomer: Newcomer, opening: Opening) -> Option<Arc<Channel>> {
        let channel = self.channels.open(newcomer, &self.delivered, opening)?;
        self.open += 1;
        Some(channel)
    }

    /// Serves a member by datagram alone from now on; false when that cannot be.
    pub(super) fn park(&self, channel: &Channel) -> bool {
        self.channels.park(channel)
    }

    pub(super) fn close(&mut self, channel: &Arc<Channel>) {
        self.channels.close(channel);
        self.open -= 1;
    }

    /// Sends a rekey to all who have a channel; false when it has to go by streams.
    pub(super) fn rekey(&mut self, rekey: &Arc<Rekey>) -> bool {
        self.delivered.store(rekey.epoch.0, Ordering::Relaxed);
        // Whoever holds the new epoch is told by its activation, and it tells in itself who sends with what meanwhile.
        self.activating = None;
        let cipher = self.cipher_of(rekey.previous);
        let Some(sealed) = cipher.and_then(|cipher| seal(cipher, rekey)) else {
            return false;
        };
        self.channels.send(Volley::Rekey(sealed));
        true
    }

    /// Tells the senders who have a channel to switch, as soon as the epoch's key is known; false when it has to go by streams.
    pub(super) fn activate(&mut self, group: GroupId, epoch: Epoch) -> bool {
        let Some(cipher) = self.cipher_of(epoch) else {
            let awaited = self.open > 0 && self.asked == epoch;
            self.activating = awaited.then_some(epoch);
            return awaited;
        };
        let message = Push::Activate(Activate { group, epoch }).to_bytes();
        let Some(sealed) = cipher.seal(&[&message]) else {
            return false;
        };
        self.channels.send(Volley::Activate(group, epoch, sealed));
        true
    }

    /// What seals that which follows an epoch; none while nobody has a channel.
    fn cipher_of(&self, epoch: Epoch) -> Option<&PushCipher> {
        let (of, cipher) = self.cipher.as_ref().filter(|_| self.open > 0)?;
        (*of == epoch).then_some(cipher)
    }

    /// The epoch whose key has to be asked for, once: the newest on record when it is delivered, as long as anybody has a
    /// channel.
    pub(super) fn wants_key(&mut self, newest: Epoch) -> Option<Epoch> {
        let delivered = Epoch(self.delivered.load(Ordering::Relaxed));
        if self.open == 0 || self.asked == delivered || newest != delivered {
            return None;
        }
        self.asked = delivered;
        Some(delivered)
    }

    /// The token told the key of an epoch; of an older one than was delivered meanwhile it is of no use.
    pub(super) fn key(&mut self, group: GroupId, epoch: Epoch, key: &PushKey) {
        if epoch.0 == self.delivered.load(Ordering::Relaxed) {
            self.cipher = Some((epoch, PushCipher::new(key)));
        }
        if self.no_key(epoch) {
            self.activate(group, epoch);
        }
    }

    /// The token did not tell the key of an epoch; whether senders wait to be told by streams then.
    pub(super) fn no_key(&mut self, epoch: Epoch) -> bool {
        self.activating.take_if(|waits| *waits == epoch).is_some()
    }
}

/// Seals a rekey once for each chunk; none when one of them does not fit into a datagram.
fn seal(cipher: &PushCipher, rekey: &Arc<Rekey>) -> Option<SealedRekey> {
    let seal = |edges: &[u8]| cipher.seal(&[&rekey.head, edges]);
    let chunks = rekey.chunks.iter();
    let chunks: Option<Vec<Bytes>> = chunks.map(|chunk| seal(&chunk.edges)).collect();
    Some(SealedRekey {
        chunks: chunks?,
        others: seal(NO_EDGES)?,
        rekey: rekey.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;
    use crate::crypto::Key;
    use crate::engine::channel::Whereabouts;
    use crate::engine::outbox::Outbox;
    use crate::engine::testing::{GROUP, rekey};
    use crate::group::ids::MemberId;

    /// A group that has delivered epoch 4, with one channel, and what is sent.
    fn fan() -> (Fan, Receiver<Volley>) {
        let channels = Arc::new(Channels::new());
        let volleys = channels.volleys().expect("nobody took it");
        let mut fan = Fan::new(channels, Epoch(3));
        let newcomer = Newcomer {
            registration: (GROUP, MemberId(1)),
            leaf: 0,
            sends: true,
            outbox: Outbox::new(),
            held: Epoch(3),
        };
        let opening = Opening {
            whereabouts: Whereabouts::new(|| None),
            export: Box::new(|_| Some(Key::generate())),
        };
        fan.open(newcomer, opening).expect("is opened");
        assert!(!fan.rekey(&rekey(3)), "nothing seals it yet");
        assert_eq!(fan.wants_key(Epoch(4)), Some(Epoch(4)));
        assert_eq!(fan.wants_key(Epoch(4)), None, "it is asked for once");
        assert!(matches!(volleys.try_recv(), Ok(Volley::Open(_))));
        (fan, volleys)
    }

    #[test]
    fn an_activation_waits_for_its_key() {
        let (mut fan, volleys) = fan();
        assert!(!fan.activate(GROUP, Epoch(3)), "nobody asked for that key");
        assert!(fan.activate(GROUP, Epoch(4)));
        assert!(volleys.try_recv().is_err());
        fan.key(GROUP, Epoch(4), &PushKey([1; 32]));
        let sent = volleys.try_recv();
        assert!(matches!(sent, Ok(Volley::Activate(GROUP, Epoch(4), _))));
        assert!(fan.rekey(&rekey(4)));
        assert!(matches!(volleys.try_recv(), Ok(Volley::Rekey(_))));
    }

    #[test]
    fn an_activation_without_a_key_goes_by_streams_and_one_that_is_over_does_not() {
        let (mut fan, volleys) = fan();
        assert!(fan.activate(GROUP, Epoch(4)));
        assert!(fan.no_key(Epoch(4)));
        assert!(!fan.no_key(Epoch(4)), "they are told once");
        assert!(fan.activate(GROUP, Epoch(4)));
        assert!(!fan.rekey(&rekey(4)), "a newer one, by streams");
        assert!(!fan.no_key(Epoch(4)));
        assert!(volleys.try_recv().is_err());
    }
}
