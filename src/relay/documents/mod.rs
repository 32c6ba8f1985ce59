//! Policy comes down: documents that the key store upstream keeps, noticed by polling and applied without a restart.
//!
//! A document is an Opaque Object in the Object Group `NAME.policies` (NAME is `upstream.name`), and what it is about is its Name:
//!
//! | name | what it holds |
//! | --- | --- |
//! | `NAME.policy.GROUP` | of one group: JSON, the keys of its policy that differ from the default, and `suite` |
//! | `NAME.policy` | of all groups: JSON, the keys of the default policy that differ from the configured one |
//! | `NAME.rules` | of all groups: the rules about who may join, in Cedar |
//!
//! - Opaque Objects do not change, so each is fetched once. To change a document is to register another object of its name; the
//!   newest wins, by its Initial Date and then its identifier, so the old one may be destroyed before or after.
//! - A document that is bad is refused with its reason, and the last good one stays in force: the next newest one, or what was in
//!   force before. That shows in the log, in the metrics, and in the admin interface.
//! - What a document is goes on record before it is in force. Other rules, and limits that are lower than before, are for those too who wait
//!   to join at that moment: they are told to ask again.
//! - A store that names only some of all documents says nothing of the others: they stay in force.
//! - A group has its document's policy for as long as there is a document: it is set again whenever it is found to be another one,
//!   and the admin interface refuses to set another. A group that is created later begins with it. A group without a document
//!   keeps the policy that it has, whatever the default becomes.
//! - Another `suite` rolls the whole group over.
//! - What is in force is kept in a file beside the store, so that a gateway that starts during an outage has it. Rules from there that
//!   this build cannot read admit nobody (members keep everything) until there are others, or the operator removes the file.
//!
//! ```text
//!   every poll_s, or when the store says so: Locate --> what is new: Get, Get Attributes --> Book: good or bad --> file
//!                                                                   |
//!                                            groups whose policy is another: set_policy, roll_over
//! ```

mod apply;
mod kept;
mod poll;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::Audit;
use crate::crypto;
use crate::engine::Handle;
use crate::kmip::client::{Client, ClientError};
use crate::policy::documents::{Book, Subject};
use crate::relay::Hints;

pub use kept::restore;
use poll::Found;

/// Where documents are, and how often they are looked at.
#[derive(Clone, Debug)]
pub struct Options {
    /// What names of the gateway's objects begin with.
    pub name: String,
    /// How often it is looked what is new, give or take a tenth.
    pub every: Duration,
    /// Where what is in force is kept.
    pub file: PathBuf,
}

impl Options {
    /// The Object Group of all documents.
    #[must_use]
    pub fn object_group(name: &str) -> String {
        format!("{name}.policies")
    }

    /// The Name of the document about something.
    #[must_use]
    pub fn object_name(name: &str, subject: &Subject) -> String {
        match subject {
            Subject::Rules => format!("{name}.rules"),
            Subject::Default => format!("{name}.policy"),
            Subject::Group(group) => format!("{name}.policy.{group}"),
        }
    }

    /// What a document of this Name is about; nothing that is known if the name is another one.
    fn subject(&self, object_name: &str) -> Option<Subject> {
        let rest = object_name.strip_prefix(&self.name)?;
        match rest {
            ".rules" => Some(Subject::Rules),
            ".policy" => Some(Subject::Default),
            _ => match rest.strip_prefix(".policy.") {
                Some(group) if !group.is_empty() => Some(Subject::Group(group.to_owned())),
                _ => None,
            },
        }
    }
}

/// Follows the documents upstream.
pub struct Documents {
    client: Client,
    engine: Handle,
    book: Arc<Book>,
    audit: Audit,
    options: Options,
    /// Every object that there is, by its identifier.
    found: BTreeMap<String, Found>,
    /// Which object was offered last of those about something.
    offered: BTreeMap<Subject, String>,
    /// Groups whose document is good and could not be followed.
    hindered: HashSet<Subject>,
    kept: kept::File,
    /// That it should look sooner.
    hints: Hints,
    /// Whether the last look failed: logged once, not every time.
    trouble: bool,
}

impl Documents {
    /// Looks at nothing yet. What was kept is in force already ([`restore`]).
    pub fn new(
        client: Client,
        (engine, audit): (Handle, Audit),
        book: Arc<Book>,
        (options, hints): (Options, Hints),
    ) -> Self {
        Self {
            client,
            engine,
            kept: kept::File::new(&options.file, &book),
            book,
            audit,
            options,
            found: BTreeMap::new(),
            offered: BTreeMap::new(),
            hindered: HashSet::new(),
            hints,
            trouble: false,
        }
    }

    /// Follows them until it is dropped.
    pub async fn run(mut self) {
        loop {
            let looked = self.look().await;
            self.tell(looked);
            self.apply().await;
            self.show();
            self.hints.rest(around(self.options.every)).await;
        }
    }

    fn tell(&mut self, looked: Result<(), ClientError>) {
        let outcome = if looked.is_ok() { "ok" } else { "failed" };
        metrics::counter!("wardcast_policy_polls_total", "outcome" => outcome).increment(1);
        match looked {
            Ok(()) if self.trouble => {
                tracing::info!("policy documents can be looked at again");
            }
            Err(error) if !self.trouble => {
                tracing::warn!(%error, "policy documents cannot be looked at; those in force stay");
            }
            _ => {}
        }
        self.trouble = outcome == "failed";
    }

    fn show(&self) {
        let all = self.book.list();
        let count = |of: fn(&&_) -> bool| all.iter().filter(of).count() as f64;
        metrics::gauge!("wardcast_policy_documents", "state" => "in_force").set(count(
            |entry: &&crate::policy::documents::Entry| entry.source.is_some(),
        ));
        metrics::gauge!("wardcast_policy_documents", "state" => "refused").set(count(
            |entry: &&crate::policy::documents::Entry| entry.refused.is_some(),
        ));
        let lost = self.book.lost_rules().is_some();
        metrics::gauge!("wardcast_policy_rules_lost").set(f64::from(u8::from(lost)));
    }
}

/// A time that is up to a tenth shorter or longer, so that gateways that started together do not poll together.
fn around(time: Duration) -> Duration {
    time.mul_f64(0.9 + crypto::fraction() * 0.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_document_is_about() {
        let options = Options {
            name: "a.b".into(),
            every: Duration::from_secs(1),
            file: PathBuf::new(),
        };
        let group = |name: &str| Subject::Group(name.into());
        for subject in [
            Subject::Rules,
            Subject::Default,
            group("x"),
            group("é.policy./"),
        ] {
            let name = Options::object_name("a.b", &subject);
            assert_eq!(options.subject(&name), Some(subject), "{name}");
        }
        for other in [
            "",
            "a.b",
            "a.b.policies",
            "a.b.policy.",
            "a.policy",
            "a.b.rules.x",
        ] {
            assert_eq!(options.subject(other), None, "{other}");
        }
    }

    #[test]
    fn polls_are_spread_by_a_tenth() {
        let times: Vec<Duration> = (0..1_000)
            .map(|_| around(Duration::from_secs(10)))
            .collect();
        let within = |time: &Duration| (9.0..=11.0).contains(&time.as_secs_f64());
        assert!(times.iter().all(within));
        assert!(times.iter().collect::<HashSet<_>>().len() > 100);
    }
}
