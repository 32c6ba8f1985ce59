//! What the key store has: objects that are new are fetched, and offered to the book, the newest of a name first.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::{Documents, Options};
use crate::audit::{Entry, Event};
use crate::kmip::client::{
    Attribute, AttributeName, Batch, ClientError, Get, GetAttributes, Locate, Object,
};
use crate::kmip::codec::{Value, tag, values};
use crate::policy::Revision;
use crate::policy::documents::{MAX_DOCUMENT, Source, Subject};

/// Objects that are looked at; what the store names beyond is not.
const MAX_OBJECTS: usize = 4_096;

/// An object of the store.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Nothing that is known.
    subject: Option<Subject>,
    /// Its Initial Date, in seconds since 1970.
    date: i64,
    /// What it says, or why that cannot be read.
    text: Result<Arc<str>, String>,
}

impl Documents {
    /// Looks once at what there is.
    pub(super) async fn look(&mut self) -> Result<(), ClientError> {
        let locate = Locate {
            attributes: vec![
                Attribute::object_group(&Options::object_group(&self.options.name)),
                Attribute::object_type(values::ObjectType::OpaqueObject),
            ],
            maximum_items: u32::try_from(MAX_OBJECTS).ok(),
        };
        let answer = self.client.call(&locate).await?;
        let mut located = answer.unique_identifiers;
        // A store may have less room in an answer than was asked for, and says then how many there are.
        let told = answer
            .located_items
            .and_then(|told| usize::try_from(told).ok());
        let partial = located.len() >= MAX_OBJECTS || told.is_some_and(|told| told > located.len());
        if partial {
            tracing::error!(
                looked_at = located.len(),
                "there are more policy documents upstream than the store names at once: those beyond stay as they are; destroy old ones"
            );
            located.truncate(MAX_OBJECTS);
        }
        if !partial || self.found.len() >= 2 * MAX_OBJECTS {
            let there: HashSet<&str> = located.iter().map(String::as_str).collect();
            self.found.retain(|id, _| there.contains(id.as_str()));
        }
        let mut unread = HashSet::new();
        for id in located {
            if self.found.contains_key(&id) {
                continue;
            }
            match self.fetch(&id).await {
                Ok(found) => drop(self.found.insert(id, found)),
                // Destroyed meanwhile, or another's: the others are looked at all the same, and this one next time.
                Err(error @ (ClientError::Failed { .. } | ClientError::Answer { .. })) => {
                    tracing::debug!(object = id, %error, "an object cannot be fetched");
                    if !is_gone(&error) {
                        unread.insert(id);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let missing_is_gone = !partial;
        self.offer(&unread, missing_is_gone).await;
        self.kept.keep(&self.book).await;
        Ok(())
    }

    async fn fetch(&self, id: &str) -> Result<Found, ClientError> {
        let get = Get {
            unique_identifier: id.to_owned(),
        };
        let names = [tag::Name, tag::InitialDate].map(AttributeName::Standard);
        let attributes = GetAttributes {
            unique_identifier: id.to_owned(),
            names: names.to_vec(),
        };
        let answers = self
            .client
            .exchange(&[&get, &attributes], Batch::default())
            .await?;
        let got = answers.read(0, &get)?;
        let attributes = answers.read(1, &attributes)?;
        let mut names = attributes
            .iter()
            .filter(|attribute| attribute.name == AttributeName::Standard(tag::Name))
            .filter_map(Attribute::text);
        let date = attributes
            .iter()
            .find_map(|attribute| match attribute.value {
                Value::DateTime(date) => Some(date),
                _ => None,
            });
        let text = match &got.object {
            // It would be refused, and is not to be held until then.
            Object::Opaque(object) if object.value.as_bytes().len() > MAX_DOCUMENT => {
                let length = object.value.as_bytes().len();
                Err(format!("{length} bytes; at most {MAX_DOCUMENT}"))
            }
            Object::Opaque(object) => std::str::from_utf8(object.value.as_bytes())
                .map(Arc::from)
                .map_err(|_| "it is not UTF-8".to_owned()),
            Object::WrappedKey(_) | Object::SecretData(_) => {
                Err("it is no Opaque Object".to_owned())
            }
        };
        Ok(Found {
            subject: names.find_map(|name| self.options.subject(name)),
            date: date.unwrap_or_default(),
            text,
        })
    }

    /// Offers what is new to the book, and tells it what is gone. What is there and could not be read is neither; nor is what was not
    /// named among some of all.
    async fn offer(&mut self, unread: &HashSet<String>, missing_is_gone: bool) {
        let mut all: BTreeMap<Subject, Vec<String>> = BTreeMap::new();
        // What was there before, in this run or an earlier one: without an object it is gone.
        let of_before = self.book.kept().into_iter().map(|kept| kept.subject);
        for subject in self.offered.keys().cloned().chain(of_before) {
            all.entry(subject).or_default();
        }
        for (id, found) in &self.found {
            if let Some(subject) = &found.subject {
                all.entry(subject.clone()).or_default().push(id.clone());
            }
        }
        for (subject, mut about) in all {
            self.newest_first(&mut about);
            if self.stands_unread(&subject, about.first(), unread) {
                continue;
            }
            match about.first() {
                None if !missing_is_gone => {}
                None => {
                    let known = self.offered.remove(&subject).is_some();
                    let of_group = matches!(subject, Subject::Group(_));
                    if known || of_group && self.in_force(&subject).is_some() {
                        tracing::info!(%subject, "there is no document about this upstream any more");
                        self.book.gone(&subject);
                    }
                }
                Some(newest) if self.offered.get(&subject) == Some(newest) => {}
                Some(newest) => {
                    self.offered.insert(subject.clone(), newest.clone());
                    self.offer_of(&subject, &about).await;
                }
            }
        }
    }

    /// Whether what is in force is upstream still but cannot be read now, as after a start, and nothing newer can: an older
    /// document must not come back for it.
    fn stands_unread(
        &self,
        subject: &Subject,
        newest: Option<&String>,
        unread: &HashSet<String>,
    ) -> bool {
        let Some(entry) = self.book.entry(subject) else {
            return false;
        };
        let Some(Source::Upstream(object)) = &entry.source else {
            return false;
        };
        let since = entry.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let newest = newest.and_then(|id| self.found.get(id));
        unread.contains(object) && newest.is_none_or(|found| found.date <= since)
    }

    /// Puts the objects about something in order.
    fn newest_first(&self, about: &mut [String]) {
        // Identifiers of some stores are numbers that grow.
        let age = |id: &String| {
            let date = self.found.get(id).map(|found| found.date);
            (date, id.parse::<u64>().ok())
        };
        about.sort_by(|a, b| age(b).cmp(&age(a)).then_with(|| b.cmp(a)));
    }

    /// The newest that is good is in force; if a newer one is bad, that is told of the newest.
    async fn offer_of(&self, subject: &Subject, about: &[String]) {
        let in_force = self.in_force(subject);
        if in_force.as_ref() == about.first() {
            // What was refused since is gone.
            return self.book.newest(subject);
        }
        let mut bad: Option<(&String, String)> = None;
        for id in about {
            if in_force.as_ref() == Some(id) {
                break;
            }
            match self.offer_one(subject, id).await {
                Ok(()) => {
                    tracing::info!(%subject, object = id, "a policy document is in force");
                    break;
                }
                Err(why) => {
                    count_refused();
                    self.put_on_record(subject, id, Err(why.clone())).await;
                    tracing::error!(%subject, object = id, %why, "a policy document is refused; the last good one stays");
                    bad = bad.or(Some((id, why)));
                }
            }
        }
        if let Some((id, why)) = bad {
            self.book.refuse(subject, Source::Upstream(id.clone()), why);
        }
    }

    async fn offer_one(&self, subject: &Subject, id: &str) -> Result<(), String> {
        let found = self.found.get(id).ok_or("it is gone")?;
        let text = found.text.clone()?;
        let revision = self.book.examine(subject, &text)?;
        // On record before anybody is admitted by it.
        self.put_on_record(subject, id, Ok(revision)).await;
        let source = Source::Upstream(id.to_owned());
        self.book.offer(subject, source, &text, None)?;
        if *subject == Subject::Rules {
            self.engine.decide_anew().await;
        }
        Ok(())
    }

    /// Puts on record what comes of a document: which text it is, or why it is refused.
    async fn put_on_record(&self, subject: &Subject, id: &str, is: Result<Revision, String>) {
        let event = Event::Document {
            about: subject.to_string(),
            object: id.to_owned(),
            digest: is.as_ref().ok().map(Revision::to_string),
            refused: is.err(),
        };
        self.audit.note(vec![Entry::of_gateway(event)]).await;
    }

    /// The object whose document is in force.
    fn in_force(&self, subject: &Subject) -> Option<String> {
        match self.book.entry(subject)?.source? {
            Source::Upstream(object) => Some(object),
            Source::Configured => None,
        }
    }
}

/// Whether the store says that there is no such object any more.
fn is_gone(error: &ClientError) -> bool {
    let gone = [
        values::ResultReason::ItemNotFound,
        values::ResultReason::ObjectNotFound,
        values::ResultReason::ObjectDestroyed,
    ];
    error.reason().is_some_and(|reason| gone.contains(&reason))
}

fn count_refused() {
    metrics::counter!("wardcast_policy_documents_refused_total").increment(1);
}
