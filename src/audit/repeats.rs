//! Refusals and look-ups that say the same are put on record once in a while: whoever asks again and again must not fill the disk.
//!
//! The first is on record at once, and how many followed it within a minute is one more record, or is said as the gateway stops. A kill
//! loses that count alone. No sum is ever short otherwise.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::{Actor, Entry, Event};
use super::writer::Stamped;

/// How long the same is only counted after it was put on record.
const WINDOW: Duration = Duration::from_secs(60);
/// What is kept apart, of refusals and of look-ups each; what comes beyond is put on record as it comes no more than so often in a window.
const MOST: usize = 1_024;
/// What the count of several operations, or outcomes, together says instead of one.
pub const SEVERAL: &str = "several";

/// What was said lately. Strangers can make as many refusals as they like, and must not have the look-ups of callers thrown together.
#[derive(Default)]
pub(super) struct Repeats {
    refused: Kinds,
    looked_up: Kinds,
}

#[derive(Default)]
struct Kinds(HashMap<String, Repeated>);

struct Repeated {
    since: Instant,
    last: Stamped,
    /// How often since it was put on record.
    times: u64,
}

impl Repeats {
    /// What is to be put on record of this now: all of it, but for what was said a moment ago.
    pub(super) fn fresh(&mut self, now: Instant, stamped: Stamped) -> Option<Stamped> {
        let Entry {
            actor,
            group,
            event,
            ..
        } = &stamped.entry;
        let group = group.as_ref().map_or("", |group| &group.id);
        // Identities have a bound, and so has why; what somebody calls who may not is up to him, and so is what object he looks at.
        let (kinds, same) = match event {
            Event::Refused { identity, why, .. } => {
                (&mut self.refused, format!("{identity} {why}"))
            }
            Event::Denied { identity, .. } => (&mut self.refused, identity.0.clone()),
            Event::Unauthenticated { why, .. } => (&mut self.refused, why.clone()),
            Event::Relayed {
                operation,
                outcome,
                times: Some(_),
                ..
            } => (
                &mut self.looked_up,
                format!("{actor:?} {operation} {outcome}"),
            ),
            _ => return Some(stamped),
        };
        let key = match kinds.0.len() {
            MOST.. => group.to_owned(),
            _ => format!("{group} {same}"),
        };
        kinds.fresh(now, key, stamped)
    }

    /// What was repeated in a window that is over.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Stamped> {
        self.counted(|repeated| now - repeated.since >= WINDOW)
    }

    /// What was repeated at all: nobody counts any more.
    pub(super) fn all(&mut self) -> Vec<Stamped> {
        self.counted(|_| true)
    }

    fn counted(&mut self, over: impl Fn(&Repeated) -> bool) -> Vec<Stamped> {
        let kinds = [&mut self.refused, &mut self.looked_up].into_iter();
        let over = kinds.flat_map(|kinds| kinds.0.extract_if(|_, repeated| over(repeated)));
        over.filter_map(|(_, repeated)| repeated.counted())
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.refused.0.is_empty() && self.looked_up.0.is_empty()
    }
}

impl Kinds {
    fn fresh(&mut self, now: Instant, key: String, stamped: Stamped) -> Option<Stamped> {
        if let Some(known) = self.0.get_mut(&key) {
            known.times += 1;
            known.last = match known.times {
                1 => stamped,
                _ => together(&known.last, stamped),
            };
            return None;
        }
        let repeated = Repeated {
            since: now,
            last: stamped.clone(),
            times: 0,
        };
        self.0.insert(key, repeated);
        Some(stamped)
    }
}

/// The last of several: of look-ups it says what they have in common, for none of them must be taken for all.
fn together(before: &Stamped, mut last: Stamped) -> Stamped {
    if let (
        Event::Relayed {
            operation: was,
            object: of,
            outcome: became,
            ..
        },
        Event::Relayed {
            operation,
            object,
            outcome,
            ..
        },
    ) = (&before.entry.event, &mut last.entry.event)
    {
        if object != of {
            *object = None;
        }
        for (one, other) in [(was, operation), (became, outcome)] {
            if one != other {
                SEVERAL.clone_into(other);
            }
        }
        if before.entry.actor != last.entry.actor {
            last.entry.actor = Actor::Gateway;
        }
    }
    last
}

impl Repeated {
    fn counted(mut self) -> Option<Stamped> {
        if self.times > 1 {
            self.last.entry.request = None;
        }
        match &mut self.last.entry.event {
            Event::Refused { times, .. }
            | Event::Denied { times, .. }
            | Event::Unauthenticated { times, .. } => *times = self.times,
            Event::Relayed { times, .. } => *times = Some(self.times),
            _ => {}
        }
        (self.times > 0).then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::audit::Actor;
    use crate::group::ids::{Identity, Role};
    use crate::group::request::RequestId;

    fn refused(who: usize) -> Stamped {
        let identity = Identity(format!("cn:{who}"));
        let event = Event::Refused {
            identity: identity.clone(),
            role: Role::Both,
            why: "no rule".into(),
            times: 1,
        };
        Stamped {
            time: SystemTime::UNIX_EPOCH,
            entry: Entry {
                actor: Actor::Member(identity),
                request: RequestId::new("a-1"),
                ..Entry::of_gateway(event)
            },
        }
    }

    #[test]
    fn the_first_is_said_at_once_and_the_others_are_counted() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        assert!(repeats.fresh(now, refused(1)).is_some());
        assert!(repeats.fresh(now, refused(2)).is_some());
        for _ in 0..7 {
            assert!(repeats.fresh(now, refused(1)).is_none());
        }
        assert!(repeats.due(now).is_empty());
        let due = repeats.due(now + WINDOW);
        let [Stamped { entry, .. }] = &due[..] else {
            panic!("one was repeated");
        };
        assert!(matches!(entry.event, Event::Refused { times: 7, .. }));
        assert_eq!(entry.request, None, "it was none of them alone");
        assert!(repeats.is_empty());
        assert!(repeats.fresh(now + WINDOW, refused(1)).is_some());
    }

    #[test]
    fn however_many_there_are_few_are_put_on_record() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let said = (0..10 * MOST).filter_map(|who| repeats.fresh(now, refused(who)));
        assert_eq!(said.count(), MOST + 1);
        let due = repeats.due(now + WINDOW);
        let Event::Refused { times, .. } = due[0].entry.event else {
            panic!("a refusal");
        };
        assert_eq!((due.len(), times as usize), (1, 9 * MOST - 1));
    }

    fn looked_up(who: usize, object: usize) -> Stamped {
        let event = Event::Relayed {
            operation: "Locate".into(),
            object: Some(object.to_string()),
            outcome: "done".into(),
            times: Some(1),
        };
        let mut stamped = refused(who);
        stamped.entry.event = event;
        stamped
    }

    /// Operation, object, and how often.
    fn said(stamped: &Stamped) -> (&str, Option<&str>, u64) {
        match &stamped.entry.event {
            Event::Relayed {
                operation,
                object,
                times: Some(times),
                ..
            } => (operation, object.as_deref(), *times),
            other => panic!("a look-up: {other:?}"),
        }
    }

    #[test]
    fn look_ups_of_a_caller_are_counted_and_none_is_lost() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let mut sum = 0;
        for number in 0..1_000 {
            // One caller looks at one object, the other at all.
            let first = [looked_up(1, 7), looked_up(2, number)].map(|one| repeats.fresh(now, one));
            sum += first.iter().flatten().map(|one| said(one).2).sum::<u64>();
        }
        assert_eq!(sum, 2, "the first is on record at once");
        let mut left = repeats.all();
        left.sort_by_key(|one| format!("{:?}", one.entry.actor));
        let expected = [("Locate", Some("7"), 999), ("Locate", None, 999)];
        assert_eq!(left.iter().map(said).collect::<Vec<_>>(), expected);
        assert!(repeats.is_empty() && repeats.all().is_empty());
    }

    #[test]
    fn a_change_is_one_record_each_time() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let mut change = looked_up(1, 1);
        let Event::Relayed { times, .. } = &mut change.entry.event else {
            unreachable!("it is one");
        };
        *times = None;
        for _ in 0..10 {
            assert!(repeats.fresh(now, change.clone()).is_some());
        }
        assert!(repeats.is_empty());
    }

    #[test]
    fn what_many_callers_together_look_up_is_put_on_no_one_of_them() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for stranger in 0..2 * MOST {
            repeats.fresh(now, refused(stranger));
        }
        let first = (0..3 * MOST).filter_map(|who| repeats.fresh(now, looked_up(who, 7)));
        assert_eq!(first.count(), MOST + 1, "refusals take no place of theirs");
        let mut all = repeats.all();
        all.retain(|one| matches!(one.entry.event, Event::Relayed { .. }));
        assert_eq!(said(&all[0]), ("Locate", Some("7"), 2 * MOST as u64 - 1));
        assert_eq!((all.len(), &all[0].entry.actor), (1, &Actor::Gateway));
    }
}
