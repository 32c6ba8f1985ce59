//! Members without a connection, served by datagram alone.

use std::sync::Arc;

use super::Served;
use crate::engine::count;
use crate::engine::outbox::Outbox;
use crate::group::ids::{Identity, MemberId, Time};
use crate::group::wire::datagram::ChannelId;
use crate::group::wire::{Refusal, RefusalCode};

impl Served {
    /// Parks a registration that this connection serves, if its channel reaches it; how many members the group has. Who may send
    /// keeps its connection: it has to be told when to switch.
    pub(super) fn park(
        &mut self,
        identity: &Identity,
        member: MemberId,
        outbox: &Arc<Outbox>,
    ) -> Result<u32, Refusal> {
        self.owned(identity, member)?;
        let registration = (self.id(), member);
        let listener = self.listeners.get(member);
        let listener = listener.filter(|listener| listener.is_on(outbox));
        let listener = listener.ok_or_else(|| Refusal::new(RefusalCode::UnknownMember))?;
        let channel = listener.channel.as_ref().filter(|_| !listener.sends);
        if !channel.is_some_and(|channel| self.fan.park(channel)) {
            return Err(Refusal::new(RefusalCode::NoChannel));
        }
        // The end of the connection is not the member's any more.
        self.listeners.park(member);
        outbox.detach(registration);
        count::parked();
        Ok(self.machine.state().roster().len())
    }

    /// A parked member was not heard of for long. One that has come back meanwhile is not concerned.
    pub(in crate::engine) fn silent(&mut self, now: Time, member: MemberId, channel: ChannelId) {
        let listener = self.listeners.get(member);
        let own = listener.and_then(|listener| listener.channel.as_ref());
        if own.is_some_and(|own| own.number() == channel && own.is_parked()) {
            self.absent(now, member);
        }
    }
}
