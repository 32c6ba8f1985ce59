//! The documents in force, in a file beside the store: a gateway that starts while the key store is out of reach has them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::policy::documents::{Book, Kept, Source, Subject};
use crate::relay::cursor::replace;

/// The file, and what was written there last.
pub(super) struct File {
    path: PathBuf,
    written: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    documents: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    about: About,
    object: String,
    text: String,
    /// In milliseconds since 1970.
    since: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum About {
    Rules,
    Default,
    Group(String),
}

/// Puts the documents of a file in force, if there is one. Done before anybody may join.
///
/// # Errors
/// When it is there and cannot be read: what is in force would be another policy, without a word.
pub fn restore(path: &Path, book: &Book) -> io::Result<()> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Contents { documents } = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let mut kept: Vec<Kept> = documents.into_iter().map(Kept::from).collect();
    // The default first, for the others stand on it.
    kept.sort_by(|a, b| a.subject.cmp(&b.subject));
    for Kept {
        subject,
        object,
        text,
        since,
    } in kept
    {
        let source = Source::Upstream(object.clone());
        match book.offer(&subject, source, &text, Some(since)) {
            Ok(()) => {
                tracing::info!(%subject, object, "a kept policy document is in force");
            }
            Err(why) if subject == Subject::Rules => {
                let path = path.display();
                tracing::error!(%path, object, %why, "the rules that were in force cannot be read: nobody is admitted until the key store has others, or this file is removed, which puts the configured rules in force with the next start");
                let kept = Kept {
                    subject,
                    object,
                    text,
                    since,
                };
                book.lose_rules(kept, &why);
            }
            Err(why) => {
                tracing::error!(%subject, object, %why, "a kept policy document is refused");
            }
        }
    }
    Ok(())
}

impl From<Line> for Kept {
    fn from(line: Line) -> Self {
        Self {
            subject: match line.about {
                About::Rules => Subject::Rules,
                About::Default => Subject::Default,
                About::Group(name) => Subject::Group(name),
            },
            object: line.object,
            text: line.text.into(),
            since: UNIX_EPOCH + Duration::from_millis(line.since),
        }
    }
}

impl File {
    pub(super) fn new(path: &Path, book: &Book) -> Self {
        Self {
            path: path.to_owned(),
            written: book.kept(),
        }
    }

    /// Writes what is in force, and rules that were and cannot be read, if that is something else than before. A file that cannot be written is written next time.
    pub(super) async fn keep(&mut self, book: &Book) {
        let kept = book.kept();
        if kept == self.written {
            return;
        }
        let (path, all) = (self.path.clone(), kept.clone());
        let written = spawn_blocking(move || write(&path, &all)).await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => self.written = kept,
            Err(error) => {
                let path = self.path.display();
                tracing::error!(%path, %error, "policy documents cannot be kept for a restart");
            }
        }
    }
}

fn write(path: &Path, kept: &[Kept]) -> io::Result<()> {
    let documents = kept.iter().map(|kept| Line {
        about: match &kept.subject {
            Subject::Rules => About::Rules,
            Subject::Default => About::Default,
            Subject::Group(name) => About::Group(name.clone()),
        },
        object: kept.object.clone(),
        text: kept.text.to_string(),
        since: milliseconds(kept.since),
    });
    let contents = Contents {
        documents: documents.collect(),
    };
    replace(path, &serde_json::to_vec_pretty(&contents)?)
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::policy::GroupPolicy;
    use crate::policy::{BUILT_IN, Decider};
    use std::sync::Arc;

    fn book() -> Book {
        Book::new(GroupPolicy::default(), Arc::new(Decider::default()))
    }

    #[tokio::test]
    async fn what_is_kept_is_in_force_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policies.json");
        let before = book();
        let mut file = File::new(&path, &before);
        file.keep(&before).await;
        assert!(!path.exists(), "there is nothing to be kept");
        restore(&path, &before).expect("no file is none to be read");
        let documents = [
            (
                Subject::Group("a".into()),
                "{\"activation_delay_ms\": 4000}",
            ),
            (Subject::Default, "{\"retirement_delay_ms\": 4500}"),
            (Subject::Rules, BUILT_IN),
        ];
        for (subject, text) in &documents {
            let offered = before.offer(subject, Source::Upstream("7".into()), text, None);
            offered.expect("good");
        }
        file.keep(&before).await;
        let after = book();
        restore(&path, &after).expect("reads");
        let view = |book: &Book| {
            let kept = book.kept().into_iter();
            kept.map(|kept| {
                (
                    kept.subject,
                    kept.object,
                    kept.text,
                    milliseconds(kept.since),
                )
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(view(&after), view(&before));
        assert_eq!(after.of("a"), before.of("a"));
        std::fs::write(&path, "{").expect("writes");
        assert!(restore(&path, &book()).is_err());
    }

    #[tokio::test]
    async fn rules_that_cannot_be_read_any_more_admit_nobody_and_are_kept() {
        use crate::attributes::{Attributes, certificate::Certificate};
        use crate::group::ids::{Identity, Role};
        use crate::group::policy::AdmissionRule;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policies.json");
        let of_another_build = "permit (principal, action, resource) when { context.unheard };";
        let rules = Kept {
            subject: Subject::Rules,
            object: "7".into(),
            text: of_another_build.into(),
            since: UNIX_EPOCH + Duration::from_secs(9),
        };
        write(&path, std::slice::from_ref(&rules)).expect("writes");
        let decider = Arc::new(Decider::default());
        let book = Book::new(GroupPolicy::default(), decider.clone());
        restore(&path, &book).expect("reads");
        let anna = Identity("cn:anna".into());
        let policy = GroupPolicy {
            admit: vec![AdmissionRule {
                identity: anna.0.clone(),
                roles: vec![Role::Both],
            }],
            ..GroupPolicy::default()
        };
        let anna = Attributes::new(anna, Certificate::default());
        let admitted = || {
            let decision = decider.decide("room", &policy, &anna, Role::Both);
            decision.is_admitted()
        };
        assert!(!admitted(), "the configured rules would admit her");
        let why = book.lost_rules().expect("they are lost");
        assert!(why.contains("unheard"), "{why}");
        let entry = book.entry(&Subject::Rules).expect("a page");
        assert!(entry.source.is_none() && entry.refused.is_some());
        // Another document does not take them from the file.
        let mut file = File::new(&path, &book);
        let default = "{\"retirement_delay_ms\": 4500}";
        let source = || Source::Upstream("8".into());
        book.offer(&Subject::Default, source(), default, None)
            .expect("good");
        file.keep(&book).await;
        let again = self::book();
        restore(&path, &again).expect("reads");
        assert!(again.kept().contains(&rules) && again.lost_rules().is_some());
        // Nor does one about rules that is as bad.
        let bad = book.offer(&Subject::Rules, source(), of_another_build, None);
        assert!(bad.is_err() && !admitted());
        book.offer(&Subject::Rules, source(), BUILT_IN, None)
            .expect("good");
        assert!(admitted() && book.lost_rules().is_none());
        assert!(!book.kept().contains(&rules));
    }
}
