//! Groups are given what their documents say.

use super::Documents;
use crate::engine::GroupView;
use crate::group::wire::{Refusal, RefusalCode};
use crate::policy::documents::{Document, Subject};

impl Documents {
    /// Sees to every group that has a document. What cannot be done now is done next time.
    pub(super) async fn apply(&mut self) {
        for entry in self.book.list() {
            let Subject::Group(name) = &entry.subject else {
                continue;
            };
            let Some((document, _)) = self.book.of(name) else {
                continue;
            };
            match self.follow(name, &document).await {
                Ok(()) => {
                    if self.hindered.remove(&entry.subject) {
                        self.book.hindered(&entry.subject, None);
                    }
                }
                Err(why) => {
                    if self.hindered.insert(entry.subject.clone()) {
                        tracing::error!(group = name, %why, "a policy document cannot be followed");
                    }
                    // Each time: it may be another document than it was, or another reason.
                    self.book.hindered(&entry.subject, Some(why.to_string()));
                }
            }
        }
    }

    async fn follow(&self, name: &str, document: &Document) -> Result<(), Refusal> {
        let view: GroupView = match self.engine.group(name).await {
            Ok(view) => view,
            // It may be created yet.
            Err(refusal) if refusal.code == RefusalCode::UnknownGroup => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        if view.policy != document.policy {
            let policy = document.policy.clone();
            self.engine.set_policy(name, policy).await?;
            metrics::counter!("wardcast_policy_documents_applied_total").increment(1);
            tracing::info!(group = name, "a group has the policy of its document");
        }
        match document.suite {
            Some(suite) if suite != view.status.keys.suite => {
                tracing::info!(
                    group = name,
                    suite = suite.number(),
                    "its document rolls a group over"
                );
                self.engine.roll_over(name, None, Some(suite)).await
            }
            _ => Ok(()),
        }
    }
}
