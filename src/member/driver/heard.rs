//! What a membership makes of what it hears at its group's multicast address.
//!
//! Only what the push key of the newest epoch opens is looked at: who was evicted has older ones alone, and the others who have
//! that key are members. What they can make up costs this one a bounded number of signature checks and questions.

use std::time::Duration;

use super::Driver;
use super::answers::Asked;
use crate::group::ids::{Epoch, Time};
use crate::group::limits::PROMPT_ACKNOWLEDGEMENTS;
use crate::group::session::{Hearing, HearingEffect, SessionInput};
use crate::group::wire::datagram::PushKeyId;
use crate::group::wire::{
    EpochHeader, MulticastOffer, NackCode, Push, PushReply, RekeyDelivery, RekeyPacket,
};
use crate::member::multicast::Listener;

/// A group that is listened to.
pub(super) struct Ear {
    listener: Listener,
    hearing: Hearing,
}

impl Ear {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.hearing.next_timeout()
    }
}

impl Driver {
    /// The channel is open, and this is where the group multicasts; none when it does not.
    pub(super) fn listen(&mut self, offer: Option<MulticastOffer>) {
        let before = self.channel.ear.take();
        let interface = self.client.options.sockets.multicast.as_deref();
        let Some((offer, interface)) = offer.zip(interface) else {
            return;
        };
        let kept = before.filter(|ear| ear.listener.address() == offer.address);
        let listener = match kept {
            Some(ear) => Ok(ear.listener),
            None => {
                let dispatch = self.client.link.dispatch().clone();
                let group = self.ticket.group_id;
                Listener::start(offer.address, interface, group, dispatch)
            }
        };
        match listener {
            Ok(listener) => {
                let seed = self.ticket.membership().seed;
                let hearing = Hearing::new(offer.times(), seed);
                self.channel.ear = Some(Ear { listener, hearing });
            }
            Err(error) => {
                let address = offer.address;
                tracing::warn!(group = %self.ticket.group, %address, interface, %error, "cannot listen to the multicast group; rekeys come to this member alone");
            }
        }
    }

    /// Something was heard that a push key opens.
    pub(super) fn heard(&mut self, push: Push, under: PushKeyId) {
        let (now, newest) = (self.now(), self.newest());
        let fresh = self.channel.seals(newest, under);
        let Some(ear) = self.channel.ear.as_mut().filter(|_| fresh) else {
            return;
        };
        ear.hearing.heard(now);
        match push {
            Push::Heartbeat(beat) if beat.epoch > newest => self.lacks(beat.epoch),
            Push::Packet(packet) => self.packet(packet),
            Push::Activate(activate) if activate.epoch == newest => {
                // Nobody waits for an answer.
                let _ = self.activate(activate.epoch);
            }
            _ => {}
        }
    }

    /// There may be a newer epoch: it is asked for when the last repetition must have come, and then not by all at once.
    fn lacks(&mut self, epoch: Epoch) {
        let now = self.now();
        let window = self
            .channel
            .ear
            .as_mut()
            .and_then(|ear| ear.hearing.lacks(now, epoch));
        if let Some((after_ms, within_ms)) = window {
            self.hint(after_ms, within_ms);
        }
    }

    fn hint(&mut self, after_ms: u64, within_ms: u64) {
        let lacking = SessionInput::Lacking {
            after_ms,
            within_ms,
        };
        // Refused only after the end, which is not here.
        let _ = self.session.handle(self.now(), lacking);
        self.settle();
    }

    fn packet(&mut self, packet: RekeyPacket) {
        let (now, newest) = (self.now(), self.newest());
        let Ok(parsed) = EpochHeader::parse(&packet.header) else {
            return;
        };
        let (epoch, members) = (parsed.header.epoch, parsed.header.members);
        if epoch <= newest {
            return;
        }
        // Before it is tried: where this one does not open, the path is not asked for at once.
        self.lacks(epoch);
        let leaf = self.ticket.membership().leaf.node.index;
        let own = (packet.first_leaf..=packet.last_leaf).contains(&leaf);
        let ear = self.channel.ear.as_ref();
        if !own || !ear.is_some_and(|ear| ear.hearing.may_verify(now)) {
            return;
        }
        self.observe(&packet.header, &packet.edges);
        // Before its owner is told of the epoch; taken back if there is none to be told of.
        self.shared.held().counters.heard += 1;
        let answer = self.rekey(RekeyDelivery {
            group: packet.group,
            header: packet.header,
            active: packet.active,
            edges: packet.edges,
        });
        let sound = match answer {
            PushReply::Ack(_) => true,
            // What does not open may be a sound header with made up edges.
            PushReply::Nack(nack) => nack.code == NackCode::NeedGrant,
        };
        if let Some(ear) = &mut self.channel.ear {
            ear.hearing.verified(now, sound);
        }
        match answer {
            PushReply::Ack(_) if members <= PROMPT_ACKNOWLEDGEMENTS => {
                self.acknowledge_by_datagram();
            }
            PushReply::Ack(_) => {}
            PushReply::Nack(_) => self.shared.held().counters.heard -= 1,
        }
    }

    /// The gateway has answered what was asked because something was lacking.
    pub(super) fn repaired(&mut self) {
        let (now, newest) = (self.now(), self.newest());
        if let Some(ear) = &mut self.channel.ear {
            ear.hearing.answered(now, newest);
        }
    }

    /// Does what the ear's clock says.
    pub(super) fn listening(&mut self) {
        let now = self.now();
        let due = self
            .channel
            .ear
            .as_mut()
            .and_then(|ear| ear.hearing.due(now));
        match due {
            Some(HearingEffect::Report) => self.report_by_datagram(),
            Some(HearingEffect::Silent { within_ms }) => {
                tracing::debug!(group = %self.ticket.group, "the multicast group is silent");
                // A channel that is opened anew is served by datagrams of its own.
                self.ask(Asked::OpenChannel, Duration::ZERO);
                self.hint(0, within_ms);
            }
            None => {}
        }
    }
}
