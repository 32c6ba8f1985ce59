//! Refusals that say the same are put on record once in a while: whoever asks again and again must not fill the disk.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::{Entry, Event};
use super::writer::Stamped;

/// How long the same refusal is only counted after it was put on record.
const WINDOW: Duration = Duration::from_secs(60);
/// Refusals that are kept apart; what comes beyond is put on record as it comes no more than so often in a window.
const MOST: usize = 1_024;

/// Refusals of the last while.
#[derive(Default)]
pub(super) struct Repeats(HashMap<String, Repeated>);

struct Repeated {
    since: Instant,
    last: Stamped,
    /// How often since it was put on record.
    times: u64,
}

impl Repeats {
    /// What is to be put on record of this now: all of it, but for what was said a moment ago.
    pub(super) fn fresh(&mut self, now: Instant, stamped: Stamped) -> Option<Stamped> {
        let Entry { group, event, .. } = &stamped.entry;
        // Identities have a bound, and so has why; what somebody calls who may not is up to him.
        let same = match event {
            Event::Refused { identity, why, .. } => format!("{identity} {why}"),
            Event::Denied { identity, .. } => identity.0.clone(),
            Event::Unauthenticated { why, .. } => why.clone(),
            _ => return Some(stamped),
        };
        let group = group.as_ref().map_or("", |group| &group.id);
        let key = match self.0.len() {
            MOST.. => group.to_owned(),
            _ => format!("{group} {same}"),
        };
        if let Some(known) = self.0.get_mut(&key) {
            known.times += 1;
            known.last = stamped;
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

    /// What was repeated in a window that is over.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Stamped> {
        let over = |_: &_, repeated: &mut Repeated| now - repeated.since >= WINDOW;
        let over = self.0.extract_if(over);
        over.filter_map(|(_, repeated)| repeated.counted())
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Repeated {
    fn counted(mut self) -> Option<Stamped> {
        if let Event::Refused { times, .. }
        | Event::Denied { times, .. }
        | Event::Unauthenticated { times, .. } = &mut self.last.entry.event
        {
            *times = self.times;
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
}
