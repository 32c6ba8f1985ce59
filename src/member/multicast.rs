//! A membership's ear at its group's multicast address.

use std::io;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::dispatch::Dispatch;
use crate::group::ids::GroupId;
use crate::group::multicast::MulticastAddress;
use crate::group::wire::datagram::MAX_DATAGRAM;
use crate::udp::multicast::listen;

/// Listens until it is dropped.
pub(super) struct Listener {
    address: MulticastAddress,
    task: AbortHandle,
}

impl Listener {
    /// Begins to listen on an interface; needs a Tokio runtime.
    pub(super) fn start(
        address: MulticastAddress,
        interface: &str,
        group: GroupId,
        dispatch: Arc<Dispatch>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::from_std(listen(address, interface)?)?;
        let task = tokio::spawn(hear(socket, group, dispatch)).abort_handle();
        Ok(Listener { address, task })
    }

    /// Where.
    pub(super) fn address(&self) -> MulticastAddress {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(socket: UdpSocket, group: GroupId, dispatch: Arc<Dispatch>) {
    // One byte more, so that what is too long is not taken for what it begins with.
    let mut buffer = [0; MAX_DATAGRAM + 1];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) if length <= MAX_DATAGRAM => dispatch.heard(group, &buffer[..length]),
            Ok(_) => {}
            Err(error) => {
                // The group falls silent, and its member is served by other means.
                tracing::warn!(%group, %error, "cannot listen to the multicast group any more");
                return;
            }
        }
    }
}
