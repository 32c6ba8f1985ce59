//! A connection as the front end has it, and one that is to become one.

use std::any::Any;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn_proto::crypto::ExportKeyingMaterialError;
use quinn_proto::{ConnectionError, Dir, VarInt};

use super::inner::{Driven, Held, Inner};
use super::streams::{RecvStream, SendStream};

/// Room for the packets that a handshake sends.
const PACKET: usize = 1_500;

/// An established connection; closed when the last handle of it and of its streams is dropped.
#[derive(Clone)]
pub(in crate::quic) struct Connection(Held);

impl Connection {
    /// The next stream that the peer opens. One task waits for it.
    pub(in crate::quic) async fn accept_bi(
        &self,
    ) -> Result<(SendStream, RecvStream), ConnectionError> {
        let id = poll_fn(|cx| {
            let mut state = self.0.state();
            // What had come before it was over is served.
            if !self.0.is_poisoned()
                && let Some(id) = state.proto.streams().accept(Dir::Bi)
            {
                return Poll::Ready(Ok(id));
            }
            if let Some(error) = &state.error {
                return Poll::Ready(Err(error.clone()));
            }
            match &mut state.acceptor {
                Some(task) => task.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        });
        let id = id.await?;
        Ok((
            SendStream::new(self.0.clone(), id),
            RecvStream::new(self.0.clone(), id),
        ))
    }

    /// Opens a stream, when the peer lets it.
    pub(in crate::quic) async fn open_bi(
        &self,
    ) -> Result<(SendStream, RecvStream), ConnectionError> {
        let id = loop {
            let opening = {
                let mut state = self.0.state();
                if let Some(error) = &state.error {
                    return Err(error.clone());
                }
                match state.proto.streams().open(Dir::Bi) {
                    Some(id) => break id,
                    // Made while the state is locked, so that no news is missed.
                    None => state.opening().notified_owned(),
                }
            };
            opening.await;
        };
        Ok((
            SendStream::new(self.0.clone(), id),
            RecvStream::new(self.0.clone(), id),
        ))
    }

    /// Ends it and tells the peer why. Streams end where they are.
    pub(in crate::quic) fn close(&self, code: VarInt, reason: &[u8]) {
        self.0.close(code, Bytes::copy_from_slice(reason));
    }

    /// Why it is over, once it is.
    pub(in crate::quic) fn close_reason(&self) -> Option<ConnectionError> {
        self.0.state().error.clone()
    }

    /// Where the peer is, as QUIC has validated it: it may go elsewhere.
    pub(in crate::quic) fn remote_address(&self) -> SocketAddr {
        self.0.state().proto.remote_address()
    }

    /// Who the peer is, as TLS has it.
    pub(in crate::quic) fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.0.state().proto.crypto_session().peer_identity()
    }

    /// A key that both ends derive from their session of TLS (RFC 5705).
    pub(in crate::quic) fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let state = self.0.state();
        let session = state.proto.crypto_session();
        session.export_keying_material(output, label, context)
    }
}

/// A handshake. Whoever waits for it drives it; dropped, it ends.
pub(in crate::quic) struct Connecting(Option<Held>);

impl Connecting {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Connecting(Some(Held::new(inner)))
    }

    /// From now on it is the lane's, with what has come meanwhile.
    fn hand_over(&mut self) -> Option<Held> {
        let held = self.0.take()?;
        held.driven(Driven::ByLane);
        held.schedule();
        Some(held)
    }
}

impl Future for Connecting {
    type Output = Result<Connection, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let held = self.0.as_ref().expect("is not polled after its end");
        // What comes from now on wakes it again.
        held.driven(Driven::ByHandshake(Some(cx.waker().clone())));
        held.drive(&mut Vec::with_capacity(PACKET));
        let state = held.state();
        let (error, shaking) = (state.error.clone(), state.proto.is_handshaking());
        drop(state);
        if error.is_none() && shaking {
            return Poll::Pending;
        }
        let held = self.hand_over().expect("it was there");
        Poll::Ready(error.map_or(Ok(Connection(held)), Err))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        drop(self.hand_over());
    }
}
