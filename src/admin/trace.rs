//! One member in full, and who lacks the newest epoch: what its registration says, and what the audit trail says.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::api::{
    DeliveriesView, EpochAt, EpochsView, Failure, FailureCode, LackingMember, LackingView,
    ReachView, ReachedBy, RegistrationView, TraceView, TrailNote, TrailView,
};
use super::policy::rfc3339;
use super::routes::Shared;
use crate::audit::{self, Event, Record};
use crate::engine::{Deliveries, MemberTrace, Place, Reach, Who};
use crate::group::ids::{Identity, MemberId};

/// Bytes of the trail that are searched; its newest segment in any case.
const SEARCHED_BYTES: u64 = 32 << 20;
/// One search at a time: it reads from the disk that the trail is written to.
static SEARCHING: Mutex<()> = Mutex::const_new(());

type Site = State<Arc<Shared>>;

/// One member, by its number or by whose it is.
pub(super) async fn show(
    State(shared): Site,
    Path((group, who)): Path<(String, String)>,
) -> Result<Json<TraceView>, Failure> {
    let id = shared.engine.group(&group).await?.status.group.to_string();
    let number = who.parse().ok().map(MemberId);
    let asked = match number {
        Some(member) => Who::Member(member),
        None => Who::Identity(Identity(who)),
    };
    let traces = shared.engine.trace(&group, asked.clone()).await?;
    let own = traces
        .first()
        .map(|trace| trace.registration.identity.clone());
    let mut identity = match asked {
        Who::Identity(identity) => Some(identity),
        Who::Member(_) => own,
    };
    let directory = shared
        .audit
        .as_ref()
        .map(|audit| audit.directory().to_owned());
    if let (None, Some(member), Some(directory)) = (&identity, number, &directory) {
        // Nobody has it any more: the trail may know who had.
        let found = search(directory.clone(), id.clone(), Sought::Member(member)).await?;
        identity = found.identity;
    }
    let found = match (&identity, directory) {
        (Some(identity), Some(directory)) => {
            search(directory, id, Sought::Identity(identity.clone())).await?
        }
        _ => Found::default(),
    };
    if traces.is_empty() && found.is_empty() {
        return Err(unknown(&group, number, identity.as_ref()));
    }
    let registrations = traces.into_iter().map(|trace| {
        let joined = found.joined.get(&trace.registration.member).cloned();
        registration(trace, joined)
    });
    Ok(Json(TraceView {
        registrations: registrations.collect(),
        group,
        identity,
        trail: found.trail,
    }))
}

fn unknown(group: &str, number: Option<MemberId>, identity: Option<&Identity>) -> Failure {
    let who = match (number, identity) {
        (None, Some(identity)) => format!("{identity} is no member of {group}"),
        (Some(member), _) => format!("no registration {member} is in {group}"),
        (None, None) => format!("nobody of that name is in {group}"),
    };
    let why = format!(
        "{who}, and the newest part of the audit trail says nothing of it: `wardcast audit export --group` reads all of it"
    );
    Failure::new(FailureCode::NotFound, why)
}

/// Which members, and from where on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    group: Option<String>,
    after: Option<String>,
}

/// Who did not acknowledge the newest epoch of his group: a page.
pub(super) async fn lacking(
    State(shared): Site,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<LackingView>, Failure> {
    let bad = |why: String| Failure::new(FailureCode::BadRequest, why);
    let Query(Asked { group, after }) = asked.map_err(|why| bad(why.body_text()))?;
    let after: Option<Place> = after
        .map(|after| after.parse())
        .transpose()
        .map_err(|why| bad(format!("after: {why}")))?;
    let page = shared.engine.lacking(group.as_deref(), after).await?;
    let members = page.members.into_iter().map(|lacking| LackingMember {
        group: lacking.group,
        registration: registration(lacking.trace, None),
    });
    Ok(Json(LackingView {
        members: members.collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

fn registration(trace: MemberTrace, joined: Option<String>) -> RegistrationView {
    let at = |ago: Option<Duration>| {
        ago.and_then(|ago| Some(rfc3339(SystemTime::now().checked_sub(ago)?)))
    };
    let behind = trace.behind();
    let own = trace.registration;
    RegistrationView {
        member: own.member,
        identity: own.identity,
        role: own.role,
        leaf: own.leaf,
        joined: EpochAt {
            epoch: own.joined,
            at: joined,
        },
        reach: ReachView {
            by: trace.reach.into(),
            hears_multicast: trace.hears_multicast,
            since: at(trace.since),
        },
        acknowledged: EpochAt {
            epoch: own.acknowledged,
            at: at(trace.acknowledged),
        },
        behind,
        epochs: EpochsView {
            delivered: trace.delivered,
            active: trace.active,
        },
        asked_at: at(trace.asked),
        deliveries: trace.deliveries.map(DeliveriesView::from),
    }
}

impl From<Reach> for ReachedBy {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Joining => Self::Joining,
            Reach::Stream => Self::Stream,
            Reach::Datagram => Self::Datagram,
            Reach::Parked => Self::Parked,
            Reach::Absent => Self::Absent,
        }
    }
}

impl From<Deliveries> for DeliveriesView {
    fn from(deliveries: Deliveries) -> Self {
        Self {
            streams: deliveries.streams,
            conflated: deliveries.conflated,
            datagrams: deliveries.datagrams,
            resent: deliveries.resent,
            given_up: deliveries.given_up,
        }
    }
}

/// What is looked for in the trail.
#[derive(Clone, Debug)]
enum Sought {
    Identity(Identity),
    Member(MemberId),
}

impl Sought {
    /// What a line has in it that says something of it.
    fn text(&self) -> String {
        match self {
            // A text always is JSON.
            Self::Identity(identity) => serde_json::to_string(&identity.0).unwrap_or_default(),
            Self::Member(member) => format!("\"member\":{}", member.0),
        }
    }

    fn is(&self, member: Option<MemberId>, identity: &Identity) -> bool {
        match self {
            Self::Identity(own) => own == identity,
            Self::Member(own) => member == Some(*own),
        }
    }
}

/// What the trail says.
#[derive(Debug, Default)]
struct Found {
    identity: Option<Identity>,
    /// When registrations began.
    joined: HashMap<MemberId, String>,
    trail: TrailView,
}

impl Found {
    fn is_empty(&self) -> bool {
        let TrailView {
            refused,
            granted,
            departed,
            ..
        } = &self.trail;
        refused.is_none() && granted.is_none() && departed.is_none()
    }

    /// One record more, newer than all before.
    fn learn(&mut self, record: Record, group: &str, sought: &Sought) {
        let entry = record.entry;
        if entry.group.is_none_or(|of| of.id != group) {
            return;
        }
        let note = |member, why, times| TrailNote {
            sequence: record.sequence,
            at: record.time.clone(),
            member,
            why,
            times,
        };
        let (into, identity, note) = match entry.event {
            Event::Joined {
                member, identity, ..
            } if sought.is(Some(member), &identity) => {
                self.identity = Some(identity);
                self.joined.insert(member, record.time);
                return;
            }
            Event::Refused {
                identity,
                why,
                times,
                ..
            } if sought.is(None, &identity) => (
                &mut self.trail.refused,
                identity,
                note(None, why, Some(times)),
            ),
            Event::Granted {
                member,
                identity,
                rule,
                ..
            } if sought.is(Some(member), &identity) => {
                let why =
                    rule.unwrap_or_else(|| "a member already: its leaf key was another".into());
                (
                    &mut self.trail.granted,
                    identity,
                    note(Some(member), why, None),
                )
            }
            Event::Departed {
                member,
                identity: Some(identity),
                reason,
                note: said,
                ..
            } if sought.is(Some(member), &identity) => {
                let why = match said {
                    Some(said) => format!("{reason}: {said}"),
                    None => reason,
                };
                (
                    &mut self.trail.departed,
                    identity,
                    note(Some(member), why, None),
                )
            }
            _ => return,
        };
        *into = Some(note);
        self.identity = Some(identity);
    }
}

/// Searches the newest part of the trail, beside the runtime's own threads.
async fn search(directory: PathBuf, group: String, sought: Sought) -> Result<Found, Failure> {
    let _one = SEARCHING.lock().await;
    let searched = spawn_blocking(move || {
        let mut found = Found::default();
        let text = sought.text();
        let learn = |record| found.learn(record, &group, &sought);
        let searched = audit::recent(&directory, SEARCHED_BYTES, &text, learn)?;
        found.trail.searched_from = Some(searched.from);
        Ok::<_, std::io::Error>(found)
    });
    let unreadable = |why: String| {
        let why = format!("the audit trail cannot be searched: {why}");
        Failure::new(FailureCode::Unavailable, why)
    };
    let found = searched.await.map_err(|why| unreadable(why.to_string()))?;
    found.map_err(|why| unreadable(why.to_string()))
}
