//! Which document is in force for what, where it is from, and which one was refused since.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::document::Document;
use crate::group::policy::GroupPolicy;
use crate::policy::{Decider, Revision, Rules};

/// What a document is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The rules of all groups.
    Rules,
    /// The default of all groups.
    Default,
    /// One group, by its name.
    Group(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Rules => f.write_str("the rules"),
            Subject::Default => f.write_str("the default policy"),
            Subject::Group(name) => write!(f, "the policy of {name:?}"),
        }
    }
}

/// Where a document is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway's configuration.
    Configured,
    /// An object of the key store upstream, by its identifier.
    Upstream(String),
}

/// A document that was refused, after the one that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it was from.
    pub source: Source,
    /// What is wrong with it.
    pub why: String,
    /// When it was refused.
    pub at: SystemTime,
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct Entry {
    /// For what.
    pub subject: Subject,
    /// Where it is from; nothing if every document about it was refused.
    pub source: Option<Source>,
    /// Which text it is; nothing likewise.
    pub revision: Option<Revision>,
    /// Since when.
    pub since: SystemTime,
    /// What was refused since.
    pub refused: Option<Refusal>,
}

/// A document in force, as it is kept to be in force again after a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// About what.
    pub subject: Subject,
    /// The object of the key store that it is from.
    pub object: String,
    /// What it says.
    pub text: Arc<str>,
    /// Since when it is in force.
    pub since: SystemTime,
}

/// All documents. Shared by whoever brings them and whoever asks for them.
pub struct Book {
    decider: Arc<Decider>,
    state: RwLock<State>,
}

struct State {
    configured: GroupPolicy,
    default: GroupPolicy,
    pages: BTreeMap<Subject, Page>,
    /// Rules that were in force before a start and cannot be read any more: kept as they are, until there are others.
    lost: Option<Kept>,
}

/// A document that was read.
enum Parsed {
    Rules(Box<Rules>),
    Default(Box<GroupPolicy>),
    Group(Box<Document>),
}

struct Page {
    force: Option<Force>,
    refused: Option<Refusal>,
}

struct Force {
    source: Source,
    text: Arc<str>,
    since: SystemTime,
    revision: Revision,
    /// Of a group.
    document: Option<Document>,
}

impl Book {
    /// With what is configured: a policy for all groups, and the rules that the decider has.
    pub fn new(configured: GroupPolicy, decider: Arc<Decider>) -> Self {
        let revisions = [
            (Subject::Rules, decider.rules().revision()),
            (Subject::Default, revision(&configured)),
        ];
        let pages = revisions.map(|(subject, revision)| {
            let (force, refused) = (Some(Force::configured(revision)), None);
            (subject, Page { force, refused })
        });
        let state = State {
            default: configured.clone(),
            configured,
            pages: pages.into(),
            lost: None,
        };
        Self {
            decider,
            state: RwLock::new(state),
        }
    }

    /// Rules that were in force before a start are refused by this build. What is configured might admit whom they forbade, so nobody is
    /// admitted until there are rules again: from a document that is good, or those that are configured once the operator has
    /// removed the file that these were kept in.
    pub fn lose_rules(&self, kept: Kept, why: &str) {
        self.decider.lose(why);
        let mut state = self.write();
        let page = state.page(&Subject::Rules);
        page.force = None;
        page.refused = Some(Refusal {
            source: Source::Upstream(kept.object.clone()),
            why: why.to_owned(),
            at: now(),
        });
        state.lost = Some(kept);
    }

    /// Why nobody is admitted by any rules, if [that is so](Self::lose_rules).
    pub fn lost_rules(&self) -> Option<Arc<str>> {
        self.decider.lost()
    }

    /// Another configuration is in force from now on, where no document of the key store comes before it.
    pub fn configure(&self, configured: GroupPolicy, rules: Rules) {
        let mut state = self.write();
        let own = |page: &Page| page.force.as_ref().is_none_or(Force::is_configured);
        // Rules that were lost are replaced by others of the key store's alone: what is configured may be weaker.
        let lost = state.lost.is_some();
        if !lost
            && own(state.page(&Subject::Rules))
            && rules.revision() != self.decider.rules().revision()
        {
            state.page(&Subject::Rules).force = Some(Force::configured(rules.revision()));
            self.decider.replace(rules);
        }
        if state.configured == configured {
            return;
        }
        state.configured = configured.clone();
        if own(state.page(&Subject::Default)) {
            let force = Force::configured(revision(&configured));
            state.page(&Subject::Default).force = Some(force);
            state.stand_on(configured);
            return;
        }
        // The key store's document names what differs from it.
        let force = state.page(&Subject::Default).force.as_ref();
        let text = force.map_or_else(|| "".into(), |force| force.text.clone());
        match Document::parse_default(&configured, &text) {
            Ok(default) => state.stand_on(default),
            Err(error) => {
                tracing::warn!(%error, "the key store's default policy stays as it was: it does not go with the new configuration");
            }
        }
    }

    /// Takes a document that is in force from now on (or from `since`, if it was before), or refuses it, with the reason.
    pub fn offer(
        &self,
        subject: &Subject,
        source: Source,
        text: &str,
        since: Option<SystemTime>,
    ) -> Result<(), String> {
        let mut state = self.write();
        let checked = self.check(&mut state, subject, text);
        let now = now();
        let page = state.page(subject);
        match checked {
            Ok(document) => {
                page.force = Some(Force {
                    source,
                    text: text.into(),
                    since: since.unwrap_or(now),
                    revision: Revision(Sha256::digest(text).into()),
                    document,
                });
                page.refused = None;
                Ok(())
            }
            Err(why) => {
                page.refused = Some(Refusal {
                    source,
                    why: why.clone(),
                    at: now,
                });
                Err(why)
            }
        }
    }

    /// Refuses a document that cannot even be read, or that is older news than the one which is in force.
    pub fn refuse(&self, subject: &Subject, source: Source, why: String) {
        let at = now();
        let refused = Refusal { source, why, at };
        self.write().page(subject).refused = Some(refused);
    }

    /// A document of a group that is good, but cannot be followed: why, or that it is by now. What was refused of a newer one is told
    /// still.
    pub fn hindered(&self, subject: &Subject, why: Option<String>) {
        let mut state = self.write();
        let page = state.page(subject);
        let source = page.force.as_ref().map(|force| force.source.clone());
        let told = page.refused.as_ref().map(|refused| &refused.source);
        if told.is_some() && told != source.as_ref() {
            return;
        }
        page.refused = why.zip(source).map(|(why, source)| Refusal {
            source,
            why,
            at: now(),
        });
    }

    /// What is in force is the newest there is: what was refused after it is gone.
    pub fn newest(&self, subject: &Subject) {
        self.write().page(subject).refused = None;
    }

    /// There is no document about this any more. What a group's said is the group's policy still, and is free to be changed; the
    /// default and the rules stay in force until others come.
    pub fn gone(&self, subject: &Subject) {
        let mut state = self.write();
        match subject {
            Subject::Group(_) => drop(state.pages.remove(subject)),
            Subject::Default | Subject::Rules => state.page(subject).refused = None,
        }
    }

    /// Which text a document is, if it would be taken; nothing changes yet. What is about to be in force is put on record first.
    ///
    /// # Errors
    /// With the reason why it would be refused.
    pub fn examine(&self, subject: &Subject, text: &str) -> Result<Revision, String> {
        self.parse(&self.read(), subject, text)?;
        Ok(Revision(Sha256::digest(text).into()))
    }

    fn parse(&self, state: &State, subject: &Subject, text: &str) -> Result<Parsed, String> {
        let parsed = match subject {
            Subject::Rules => {
                let rules = Rules::parse(text).map_err(|error| error.to_string())?;
                return Ok(Parsed::Rules(Box::new(rules)));
            }
            Subject::Default => Document::parse_default(&state.configured, text)
                .map(|default| Parsed::Default(Box::new(default))),
            Subject::Group(_) => Document::parse(&state.default, text)
                .map(|document| Parsed::Group(Box::new(document))),
        };
        parsed.map_err(|error| error.to_string())
    }

    fn check(
        &self,
        state: &mut State,
        subject: &Subject,
        text: &str,
    ) -> Result<Option<Document>, String> {
        match self.parse(state, subject, text)? {
            Parsed::Rules(rules) => {
                self.decider.replace(*rules);
                state.lost = None;
            }
            Parsed::Default(default) => state.stand_on(*default),
            Parsed::Group(document) => return Ok(Some(*document)),
        }
        Ok(None)
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.decider.rules()
    }

    /// The policy of groups that have none of their own.
    pub fn default_policy(&self) -> GroupPolicy {
        self.read().default.clone()
    }

    /// The document of a group, and the object that it is from.
    pub fn of(&self, group: &str) -> Option<(Document, Source)> {
        let state = self.read();
        let page = state.pages.get(&Subject::Group(group.to_owned()))?;
        let force = page.force.as_ref()?;
        Some((force.document.clone()?, force.source.clone()))
    }

    /// All that is in force or was refused: rules, default, then groups by name.
    pub fn list(&self) -> Vec<Entry> {
        let state = self.read();
        let pages = state.pages.iter();
        pages.map(|(subject, page)| page.entry(subject)).collect()
    }

    /// What is in force about something, or was refused of it.
    pub fn entry(&self, subject: &Subject) -> Option<Entry> {
        let state = self.read();
        Some(state.pages.get(subject)?.entry(subject))
    }

    /// What came from the key store and is in force, to be offered again after a start.
    pub fn kept(&self) -> Vec<Kept> {
        let state = self.read();
        let kept = state.pages.iter().filter_map(|(subject, page)| {
            let force = page.force.as_ref()?;
            let Source::Upstream(object) = &force.source else {
                return None;
            };
            Some(Kept {
                subject: subject.clone(),
                object: object.clone(),
                text: force.text.clone(),
                since: force.since,
            })
        });
        state.lost.iter().cloned().chain(kept).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn revision(configured: &GroupPolicy) -> Revision {
    let json = serde_json::to_vec(configured).expect("a policy has text keys only");
    Revision(Sha256::digest(json).into())
}

impl Force {
    fn configured(revision: Revision) -> Self {
        Self {
            source: Source::Configured,
            text: "".into(),
            since: now(),
            revision,
            document: None,
        }
    }

    fn is_configured(&self) -> bool {
        self.source == Source::Configured
    }
}

/// To the millisecond, as it is kept.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    UNIX_EPOCH + Duration::from_millis(u64::try_from(since).unwrap_or(u64::MAX))
}

impl Page {
    fn entry(&self, subject: &Subject) -> Entry {
        Entry {
            subject: subject.clone(),
            source: self.force.as_ref().map(|force| force.source.clone()),
            revision: self.force.as_ref().map(|force| force.revision),
            since: match (&self.force, &self.refused) {
                (Some(force), _) => force.since,
                (None, Some(refused)) => refused.at,
                (None, None) => SystemTime::UNIX_EPOCH,
            },
            refused: self.refused.clone(),
        }
    }
}

impl State {
    fn page(&mut self, subject: &Subject) -> &mut Page {
        let nothing = || Page {
            force: None,
            refused: None,
        };
        self.pages.entry(subject.clone()).or_insert_with(nothing)
    }

    /// All documents of groups stand on another default from now on. One that cannot stays as it was.
    fn stand_on(&mut self, default: GroupPolicy) {
        for page in self.pages.values_mut() {
            let Some(force) = page.force.as_mut() else {
                continue;
            };
            if force.document.is_none() {
                continue;
            }
            match Document::parse(&default, &force.text) {
                Ok(document) => {
                    force.document = Some(document);
                    // It could not with the default before, or it is told of again.
                    if page
                        .refused
                        .as_ref()
                        .is_some_and(|told| told.source == force.source)
                    {
                        page.refused = None;
                    }
                }
                Err(why) => {
                    page.refused = Some(Refusal {
                        source: force.source.clone(),
                        why: format!("with the new default: {why}"),
                        at: now(),
                    });
                }
            }
        }
        self.default = default;
    }
}
