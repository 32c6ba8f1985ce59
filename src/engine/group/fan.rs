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
}

impl Fan {
    pub(super) fn new(channels: Arc<Channels>, delivered: Epoch) -> Self {
        Fan {
            channels,
            open: 0,
            delivered: Arc::new(AtomicU64::new(delivered.0)),
            cipher: None,
            asked: Epoch(0),
        }
    }

    /// Opens a channel for a member; none when that cannot be had.
    pub(super) fn open(&mut self, newcomer: Newcomer, opening: Opening) -> Option<Arc<Channel>> {
        let channel = self.channels.open(newcomer, &self.delivered, opening)?;
        self.open += 1;
        Some(channel)
    }

    pub(super) fn close(&mut self, channel: &Arc<Channel>) {
        self.channels.close(channel);
        self.open -= 1;
    }

    /// Sends a rekey to all who have a channel; false when it has to go by streams.
    pub(super) fn rekey(&mut self, rekey: &Arc<Rekey>) -> bool {
        self.delivered.store(rekey.epoch.0, Ordering::Relaxed);
        let cipher = self.cipher_of(rekey.previous);
        let Some(sealed) = cipher.and_then(|cipher| seal(cipher, rekey)) else {
            return false;
        };
        self.channels.send(Volley::Rekey(sealed));
        true
    }

    /// Tells those who have a channel to switch; false when it has to go by streams.
    pub(super) fn activate(&self, group: GroupId, epoch: Epoch) -> bool {
        let Some(cipher) = self.cipher_of(epoch) else {
            return false;
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
    pub(super) fn key(&mut self, epoch: Epoch, key: &PushKey) {
        if epoch.0 == self.delivered.load(Ordering::Relaxed) {
            self.cipher = Some((epoch, PushCipher::new(key)));
        }
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
