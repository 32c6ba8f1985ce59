//! What the gateway pushes to a membership, and what it is answered.

use bytes::Bytes;

use super::{Delivery, Driver};
use crate::group::edges::Edge;
use crate::group::ids::Epoch;
use crate::group::session::{SessionError, SessionInput};
use crate::group::wire::{EpochHeader, NackCode, Push, PushReply, Removed};
use crate::member::{End, keys};

impl Driver {
    pub(super) fn deliver(&mut self, Delivery { push, reply }: Delivery) {
        let answer = match push {
            Push::Rekey(rekey) => {
                self.observe(&rekey.header, &rekey.edges);
                match self.only_acknowledges() {
                    true => self.only_acknowledge(&rekey.header),
                    false => self.rekey(&rekey.header, rekey.edges),
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
            Push::GoAway(_) => PushReply::ack(self.newest()),
        };
        match answer {
            PushReply::Ack(ack) => self.told = self.told.max(ack.epoch),
            PushReply::Nack(_) => self.shared.held().counters.nacks += 1,
        }
        // Nobody waits where the connection is lost.
        let _ = reply.send(answer);
    }

    fn rekey(&mut self, header: &Bytes, edges: Vec<Edge>) -> PushReply {
        let verified = keys::verified(header, self.ticket.group_id, &self.ticket.issuer.signing);
        let header = match verified {
            Ok(header) => header,
            Err(why) => return self.reject(&why),
        };
        let input = SessionInput::Rekey { header, edges };
        let taken = self.session.handle(self.now(), input);
        self.settle();
        match taken {
            Ok(()) | Err(SessionError::OldEpoch { .. }) => PushReply::ack(self.newest()),
            Err(SessionError::CannotOpen(_)) => PushReply::nack(NackCode::NeedPath, self.newest()),
            Err(why) => self.reject(&why),
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
                self.unopened = self.unopened.max(parsed.header.epoch);
                self.shared.held().counters.acknowledged += 1;
                PushReply::ack(self.newest())
            }
            Err(why) => self.reject(&why),
        }
    }

    fn activate(&mut self, epoch: Epoch) -> PushReply {
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
