//! What happens to a membership, kept for its owner in bounded memory however slowly they are read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::group::ids::{Epoch, MemberId};
use crate::group::wire::{Refusal, RemovalReason};

/// What happens to a membership, in this order for each epoch: installed, perhaps send, retired.
///
/// An owner that reads slowly finds the newest state, not all of history: an epoch that came and went meanwhile is
/// not told of, of several connections only the last. Keys are installed and erased on time whoever reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The epoch's secret is known and confirmed: receive with its keys from now on.
    Installed {
        /// The epoch.
        epoch: Epoch,
    },
    /// Send with this epoch's keys from now on, under the identifiers that the membership has then.
    Send {
        /// The epoch.
        epoch: Epoch,
    },
    /// The epoch's secret is erased: accept nothing under its keys any more.
    Retired {
        /// The epoch.
        epoch: Epoch,
    },
    /// The connection was lost and is being made again. The keys stay good: a lost connection is not a leave.
    Disconnected {
        /// What happened to it.
        reason: String,
    },
    /// The gateway knows this registration on a new connection.
    Resumed {
        /// The newest epoch.
        epoch: Epoch,
    },
    /// The gateway did not know the registration any more, and a new one took its place. Only where
    /// [`Presence::rejoin`](super::Presence::rejoin) allows it.
    Rejoined {
        /// The new registration.
        member: MemberId,
    },
    /// The registration is over and its keys are erased; nothing follows.
    Ended(End),
}

/// Why a registration is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The gateway said so.
    Removed(RemovalReason),
    /// The gateway does not know it any more: it ended while there was no connection.
    Forgotten(Refusal),
    /// The client was closed.
    Closed,
}

/// Events that were not read yet. There are at most a few for each epoch that the owner knows of or may still learn
/// of, and epochs are held only a few at a time.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Mutex<Waiting>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    over: bool,
}

impl Events {
    /// Something happened; makes what it outdates go away.
    pub(super) fn tell(&self, event: Event) {
        self.lock().add(event);
        self.ready.notify_one();
    }

    /// Nothing will happen any more.
    pub(super) fn close(&self) {
        self.lock().over = true;
        self.ready.notify_one();
    }

    /// The next one; none when all is over and read. May be cancelled at any time.
    pub(super) async fn next(&self) -> Option<Event> {
        loop {
            let ready = self.ready.notified();
            {
                let mut waiting = self.lock();
                match waiting.events.pop_front() {
                    Some(event) => return Some(event),
                    None if waiting.over => return None,
                    None => {}
                }
            }
            ready.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held, and the queue is whole after any of its operations.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, event: Event) {
        match &event {
            Event::Installed { .. } => {}
            Event::Send { .. } => self.forget(|old| matches!(old, Event::Send { .. })),
            Event::Retired { epoch } => {
                let unread = self.events.contains(&Event::Installed { epoch: *epoch });
                let (installed, send) = (
                    Event::Installed { epoch: *epoch },
                    Event::Send { epoch: *epoch },
                );
                self.forget(|old| *old == installed || *old == send);
                if unread {
                    return;
                }
            }
            Event::Disconnected { .. } | Event::Resumed { .. } => {
                self.forget(|old| matches!(old, Event::Disconnected { .. } | Event::Resumed { .. }))
            }
            Event::Rejoined { .. } => self.forget(|old| {
                matches!(
                    old,
                    Event::Disconnected { .. } | Event::Resumed { .. } | Event::Rejoined { .. }
                )
            }),
            // The keys are gone, so of what came before nothing can be acted on.
            Event::Ended(_) => self.events.clear(),
        }
        self.events.push_back(event);
    }

    fn forget(&mut self, outdated: impl Fn(&Event) -> bool) {
        self.events.retain(|old| !outdated(old));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(epoch: u64) -> Event {
        let epoch = Epoch(epoch);
        Event::Installed { epoch }
    }

    fn send(epoch: u64) -> Event {
        let epoch = Epoch(epoch);
        Event::Send { epoch }
    }

    fn retired(epoch: u64) -> Event {
        let epoch = Epoch(epoch);
        Event::Retired { epoch }
    }

    async fn read_all(events: &Events) -> Vec<Event> {
        events.close();
        let mut read = Vec::new();
        while let Some(event) = events.next().await {
            read.push(event);
        }
        read
    }

    #[tokio::test]
    async fn an_owner_that_reads_gets_everything_in_order() {
        let events = Events::default();
        let told = [installed(1), send(1), installed(2), send(2), retired(1)];
        for event in told {
            events.tell(event.clone());
            assert_eq!(events.next().await, Some(event));
        }
    }

    #[tokio::test]
    async fn an_owner_that_does_not_read_finds_the_newest_state() {
        let events = Events::default();
        events.tell(installed(1));
        assert_eq!(events.next().await, Some(installed(1)));
        events.tell(send(1));
        for epoch in 2..1_000 {
            events.tell(installed(epoch));
            let reason = "lost".to_owned();
            events.tell(Event::Disconnected { reason });
            let epoch_held = Epoch(epoch);
            events.tell(Event::Resumed { epoch: epoch_held });
            events.tell(send(epoch));
            events.tell(retired(epoch - 1));
            assert!(events.lock().events.len() < 8);
        }
        let epoch = Epoch(999);
        let expected = [
            retired(1),
            installed(999),
            Event::Resumed { epoch },
            send(999),
        ];
        assert_eq!(read_all(&events).await, expected);
    }

    #[tokio::test]
    async fn nothing_but_the_end_follows_the_end() {
        let events = Events::default();
        events.tell(installed(1));
        let end = Event::Ended(End::Removed(RemovalReason::Evicted));
        events.tell(end.clone());
        assert_eq!(read_all(&events).await, [end]);
        assert_eq!(events.next().await, None);
    }
}
