//! Notify, by which the key store says that an object of it changed (KMIP 1.4 section 5.1, KMIP 2.1 section 6.2.2).
//!
//! Nothing of it is believed: the gateway looks at the store, sooner than it would have, and what it finds there decides. So a forged or a
//! repeated one costs no more than a look. It is taken from the identities that `front.notifiers` names, and from nobody else.
//!
//! Put, by which a store would send an object, is not taken from anybody: the gateway fetches what it needs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::front::caller::Who;
use crate::kmip::codec::{tag, values};
use crate::kmip::message::{Field, MessageError};

use super::gate::Decision;
use super::message::{AskedItem, Reply};

use values::{Operation as operation, ResultReason as reason};

/// Notifications that are answered one by one, and are on record one by one, in each [`WHILE`]; more are refused, and counted on
/// record. What is looked at is looked at for them all the same.
const MOST: u32 = 120;
/// See [`MOST`].
const WHILE: Duration = Duration::from_secs(60);

/// What becomes of notifications.
pub(in crate::front) struct Notified {
    woken: Box<dyn Fn() + Send + Sync>,
    /// Since when those are counted that came, and how many did.
    count: Mutex<(Instant, u32)>,
}

impl Notified {
    /// Each is told so; that has to be cheap.
    pub(in crate::front) fn new(woken: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            woken,
            count: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Answers one of the key store's.
    pub(super) fn answer(&self, item: &AskedItem) -> Reply {
        if let Err(error) = read(item) {
            return Reply::failed(reason::InvalidMessage, error.to_string());
        }
        (self.woken)();
        if self.is_too_many(Instant::now()) {
            let why = format!(
                "Notify: more than {MOST} in {} s; one look serves them all, and it is made",
                WHILE.as_secs()
            );
            return Reply::failed(reason::ServerLimitExceeded, why);
        }
        Reply::acknowledged()
    }

    fn is_too_many(&self, now: Instant) -> bool {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if now - count.0 >= WHILE {
            *count = (now, 0);
        }
        count.1 = count.1.saturating_add(1);
        count.1 > MOST
    }
}

/// What it has to have: the attributes that changed are of no use to who looks.
fn read(item: &AskedItem) -> Result<(), MessageError> {
    let payload = Field::of(&item.payload, tag::RequestPayload)?;
    payload.child(tag::UniqueIdentifier)?.text().map(drop)
}

/// Decides about what a store asks of its clients; nothing about anything else.
pub(super) fn decide(who: &Who, item: &AskedItem) -> Option<Decision> {
    match item.operation {
        operation::Notify if who.notifies => Some(Decision::Notify),
        operation::Notify => {
            let why =
                "Notify: is for the key store upstream, by an identity that front.notifiers names";
            Some(Decision::Denied(Reply::failed(
                reason::PermissionDenied,
                why,
            )))
        }
        // Who may do nothing is told that first.
        operation::Put if who.may_something() => {
            let why = "Put: objects are not sent to the gateway; it fetches what it needs: send Notify instead";
            let refusal = Reply::failed(reason::OperationNotSupported, why);
            Some(Decision::Unsupported(refusal))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::kmip::message::Structure;

    #[test]
    fn each_wakes_and_too_many_are_refused_for_a_while() {
        let woken = Arc::new(AtomicU32::new(0));
        let count = woken.clone();
        let wake = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let notified = Notified::new(Box::new(wake));
        let payload = Structure::new(tag::RequestPayload).text(tag::UniqueIdentifier, "7");
        let item = AskedItem::of(operation::Notify, payload.into());
        for _ in 0..MOST {
            let reply = notified.answer(&item);
            assert!(!reply.is_failure() && reply.payload().is_none());
        }
        assert_eq!(notified.answer(&item).outcome(), "ServerLimitExceeded");
        assert_eq!(woken.load(Ordering::Relaxed), MOST + 1);
        assert!(!notified.is_too_many(Instant::now() + WHILE));
        let empty = Structure::new(tag::RequestPayload);
        let reply = notified.answer(&AskedItem::of(operation::Notify, empty.into()));
        assert!(reply.is_failure());
        assert_eq!(woken.load(Ordering::Relaxed), MOST + 1, "it names nothing");
    }
}
