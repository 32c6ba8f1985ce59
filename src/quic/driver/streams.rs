//! The two halves of a stream.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn_proto::{FinishError, ReadError, StreamId, VarInt, WriteError};

use super::inner::{Held, Waits};

/// The stream is of no more use: the peer has reset or stopped it, or its connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is broken")]
pub(in crate::quic) struct Broken;

/// Why there is no whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::quic) enum ReadToEndError {
    /// It is longer than it may be.
    #[error("the message is too long")]
    TooLong,
    /// Its stream is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Sends on a stream; dropped before it is finished, it resets it: half a message must not look like a whole one.
pub(in crate::quic) struct SendStream {
    held: Held,
    id: StreamId,
    finished: bool,
}

impl SendStream {
    pub(super) fn new(held: Held, id: StreamId) -> Self {
        let finished = false;
        SendStream { held, id, finished }
    }

    /// Writes all of it, as fast as the peer lets it, and ends the stream: where there is room, all is in one packet. What is written is
    /// taken out.
    pub(in crate::quic) async fn write_all_and_finish(
        &mut self,
        chunks: &mut [Bytes],
    ) -> Result<(), Broken> {
        self.write_all(chunks).await?;
        self.finish()
    }

    /// Writes all of it, and more may follow.
    #[cfg(test)]
    pub(super) async fn write_all_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), Broken> {
        self.write_all(chunks).await?;
        self.held.schedule();
        Ok(())
    }

    async fn write_all(&self, mut chunks: &mut [Bytes]) -> Result<(), Broken> {
        while !chunks.is_empty() {
            let written = poll_fn(|cx| self.write(cx, chunks)).await?;
            chunks = &mut chunks[written..];
        }
        Ok(())
    }

    /// How many of them are written whole. They leave when the stream is finished, or when there is no room for the rest.
    fn write(&self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, Broken>> {
        let mut state = self.held.state();
        if state.error.is_some() {
            return Poll::Ready(Err(Broken));
        }
        match state.proto.send_stream(self.id).write_chunks(chunks) {
            Ok(written) => Poll::Ready(Ok(written.chunks)),
            Err(WriteError::Blocked) => {
                state.wait(Waits::Writing(self.id), cx.waker());
                drop(state);
                self.held.schedule();
                Poll::Pending
            }
            Err(WriteError::Stopped(_) | WriteError::ClosedStream) => Poll::Ready(Err(Broken)),
        }
    }

    /// That was all.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        let mut state = self.held.state();
        if state.error.is_some() {
            return Err(Broken);
        }
        let finished = state.proto.send_stream(self.id).finish();
        drop(state);
        match finished {
            Ok(()) => {
                self.finished = true;
                self.held.schedule();
                Ok(())
            }
            // The peer has as much of it as it wants.
            Err(FinishError::Stopped(_)) => Ok(()),
            Err(FinishError::ClosedStream) => Err(Broken),
        }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let mut state = self.held.state();
        state.waiting(Waits::Writing(self.id));
        if state.error.is_some() {
            return;
        }
        let mut stream = state.proto.send_stream(self.id);
        // Who has stopped it is told the code that he gave (RFC 9000 section 3.5).
        let stopped = stream.stopped().ok().flatten();
        let reset = stream.reset(stopped.unwrap_or_default());
        drop(state);
        if reset.is_ok() {
            self.held.schedule();
        }
    }
}

/// Receives on a stream; dropped before all is read, it stops it.
pub(in crate::quic) struct RecvStream {
    held: Held,
    id: StreamId,
    /// Nothing more can be read, and the peer knows.
    ended: bool,
}

impl RecvStream {
    pub(super) fn new(held: Held, id: StreamId) -> Self {
        let ended = false;
        RecvStream { held, id, ended }
    }

    /// The whole message, if it is not longer than it may be.
    pub(in crate::quic) async fn read_to_end(
        &mut self,
        longest: usize,
    ) -> Result<Vec<u8>, ReadToEndError> {
        let mut message = Vec::new();
        poll_fn(|cx| self.read(cx, longest, &mut message)).await?;
        Ok(message)
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        longest: usize,
        message: &mut Vec<u8>,
    ) -> Poll<Result<(), ReadToEndError>> {
        let mut guard = self.held.state();
        // What had come before the connection was over is read.
        if self.held.is_poisoned() {
            return Poll::Ready(Err(Broken.into()));
        }
        let state = &mut *guard;
        let mut stream = state.proto.recv_stream(self.id);
        let Ok(mut chunks) = stream.read(true) else {
            return Poll::Ready(Err(Broken.into()));
        };
        let read = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) if message.len() + chunk.bytes.len() > longest => {
                    break Poll::Ready(Err(ReadToEndError::TooLong));
                }
                Ok(Some(chunk)) => message.extend_from_slice(&chunk.bytes),
                Ok(None) => {
                    self.ended = true;
                    break Poll::Ready(Ok(()));
                }
                Err(ReadError::Blocked) => break Poll::Pending,
                Err(ReadError::Reset(_)) => {
                    self.ended = true;
                    break Poll::Ready(Err(Broken.into()));
                }
            }
        };
        let tells = chunks.finalize().should_transmit();
        let read = match read {
            Poll::Pending if state.error.is_some() => Poll::Ready(Err(Broken.into())),
            Poll::Pending => {
                state.wait(Waits::Reading(self.id), cx.waker());
                Poll::Pending
            }
            read => read,
        };
        drop(guard);
        if tells {
            self.held.schedule();
        }
        read
    }

    /// Asks the peer not to send any more of it.
    pub(in crate::quic) fn stop(&mut self, code: VarInt) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let mut state = self.held.state();
        state.waiting(Waits::Reading(self.id));
        if state.error.is_some() {
            return;
        }
        let stopped = state.proto.recv_stream(self.id).stop(code);
        drop(state);
        if stopped.is_ok() {
            self.held.schedule();
        }
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.stop(0_u32.into());
    }
}
