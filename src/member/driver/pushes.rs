//! What the gateway pushes to a membership, and what it is answered.

use bytes::Bytes;

use super::{Delivery, Driver};
use crate::group::ids::Epoch;
use crate::group::session::{SessionError, SessionInput};
use crate::group::wire::{EpochHeader, NackCode, Push, PushReply, RekeyDelivery, Removed};
use crate::member::{End, Unusable, keys};

impl Driver {
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Push(push, reply) => {
                let answer = self.push(push);
                // Nobody waits where the connection is lost.
                let _ = reply.send(answer);
            }
            Delivery::Datagram(Push::Activate(activate), under)
                if !self.channel.seals(activate.epoch, under) =>
            {
                // Whoever was evicted still has the keys of earlier epochs: nobody is told with those to switch to a later one.
            }
            Delivery::Heard(push, under) => self.heard(push, under),
            Delivery::Datagram(push, _) => {
                let rekey = matches!(push, Push::Rekey(_));
                let answer = self.push(push);
                if rekey && matches!(answer, PushReply::Ack(_)) {
                    self.acknowledge_by_datagram();
                }
            }
            Delivery::Probe => self.probed(),
            Delivery::Newest(epoch) => self.heard_newest(epoch),
            Delivery::GoAway(away) => self.sent_away(away),
        }
    }

    fn push(&mut self, push: Push) -> PushReply {
        // The answer to these tells nothing of an epoch: a removal may be of an earlier registration.
        let tells = !matches!(push, Push::Removed(_) | Push::GoAway(_));
        let answer = match push {
            Push::Rekey(rekey) => {
                self.observe(&rekey.header, &rekey.edges);
                match self.only_acknowledges() {
                    true => self.only_acknowledge(&rekey.header),
                    false => self.rekey(rekey),
                }
            }
            Push::Activate(activate) => self.activate(activate.epoch),
            Push::Removed(Removed { member, reason, .. }) => {
                let held = self.newest();
                // Of an earlier registration of this member nothing is left to be erased.
                if member == self.ticket.member {
                    self.removed(End::Removed(reason));
                }
                PushReply::ack(held)
            }
            // The last two come by multicast alone.
            Push::GoAway(_) | Push::Packet(_) | Push::Heartbeat(_) => PushReply::ack(self.newest()),
        };
        match answer {
            PushReply::Ack(ack) if tells => self.known.told = self.known.told.max(ack.epoch),
            PushReply::Ack(_) => {}
            PushReply::Nack(_) => self.shared.held().counters.nacks += 1,
        }
        answer
    }

    pub(super) fn rekey(&mut self, rekey: RekeyDelivery) -> PushReply {
        let issuer = (self.ticket.keys, &self.ticket.issuer.signing[..]);
        let header = match keys::verified(&rekey.header, self.ticket.group_id, issuer) {
            Ok(header) => header,
            Err(Unusable::OtherSuite(_)) => return self.other_suite(&rekey.header),
            Err(why) => return self.reject(&why),
        };
        let input = SessionInput::Rekey {
            header,
            edges: rekey.edges,
            active: rekey.active,
        };
        let taken = self.session.handle(self.now(), input);
        self.settle();
        match taken {
            Ok(()) | Err(SessionError::OldEpoch { .. }) => PushReply::ack(self.newest()),
            Err(SessionError::Renewed(_)) => PushReply::nack(NackCode::NeedGrant, self.newest()),
            Err(SessionError::CannotOpen(_)) => PushReply::nack(NackCode::NeedPath, self.newest()),
            Err(why) => self.reject(&why),
        }
    }

    /// The group was moved to another suite, or somebody says so: what verifies it comes with the new leaf key.
    fn other_suite(&mut self, header: &Bytes) -> PushReply {
        let newest = self.newest();
        match EpochHeader::parse(header) {
            Ok(parsed) if parsed.header.epoch > newest => {
                let activation_delay_ms = parsed.header.activation_delay_ms;
                let input = SessionInput::OtherSuite {
                    activation_delay_ms,
                };
                // Refused only after the end, which is not here.
                let _ = self.session.handle(self.now(), input);
                self.settle();
                PushReply::nack(NackCode::NeedGrant, newest)
            }
            _ => PushReply::ack(newest),
        }
    }

    fn reject(&mut self, why: &dyn std::error::Error) -> PushReply {
        tracing::warn!(group = %self.ticket.group, %why, "an epoch was pushed that does not verify");
        self.shared.held().counters.rejected += 1;
        PushReply::nack(NackCode::BadHeader, self.newest())
    }

    fn only_acknowledge(&mut self, header: &Bytes) -> PushReply {
        match EpochHeader::parse(header) {
            Ok(parsed) => {
                self.known.unopened = self.known.unopened.max(parsed.header.epoch);
                self.shared.held().counters.acknowledged += 1;
                PushReply::ack(self.newest())
            }
            Err(why) => self.reject(&why),
        }
    }

    pub(super) fn activate(&mut self, epoch: Epoch) -> PushReply {
        if !self.only_acknowledges() {
            // Refused only after the end, which is not here.
            let _ = self
                .session
                .handle(self.now(), SessionInput::Activate { epoch });
            self.settle();
        }
        match self.newest() {
            held if held >= epoch => PushReply::ack(held),
            held => PushReply::nack(NackCode::NeedPath, held),
        }
    }
}
