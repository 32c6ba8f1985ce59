//! Where a sink goes on, which it is asked before it is fed.

use tokio::task::spawn_blocking;

use super::{Feed, Footing, Over};
use crate::relay::cursor::Cursor;
use crate::relay::follower::{Follower, Gap};
use crate::relay::{Place, Sink, SinkError, Start};

impl<S: Sink> Feed<S> {
    /// Asks the sink where it goes on, until it knows.
    pub(super) async fn begin(&mut self) -> Result<(), Over> {
        let mut failures = 0;
        while let Err(error) = self.try_begin().await? {
            if self.progress.failed(&error) || matches!(error, SinkError::Refused(_)) {
                let sink = self.sink.name();
                tracing::error!(sink, %error, "it is not known yet from where the audit trail is relayed; nothing is sent until it is");
            }
            self.rest(failures).await?;
            self.succeed().await?;
            failures += 1;
        }
        self.progress.goes_on(self.advance.cursor.sequence);
        self.footing = Footing::Sink;
        Ok(())
    }

    async fn try_begin(&mut self) -> Result<Result<(), SinkError>, Over> {
        let newest = self.synced.borrow().sequence;
        let taken = Place {
            sequence: self.advance.cursor.sequence,
            head: self.advance.cursor.head,
        };
        let start = Start {
            taken: (self.footing == Footing::Cursor).then_some(taken),
            newest,
        };
        let resume = match self.sink.begin(start).await {
            Ok(Some(resume)) => resume,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        let Place { sequence, head } = resume.after;
        let mut follower = Follower::after(self.directory.clone(), sequence, head);
        if resume.must_follow {
            let checked = spawn_blocking(move || (follower.check(newest), follower)).await;
            let (found, same) = checked.map_err(|_| Over)?;
            follower = same;
            match found {
                Ok(Some(Gap::Another { .. })) => {
                    let why = format!(
                        "the key store has batches of the audit trail up to record {sequence} under the gateway's name, and record {sequence} \
                         is another one here: they are of another trail; set upstream.name to another name, so that both stay whole"
                    );
                    return Ok(Err(SinkError::Refused(why)));
                }
                Ok(_) => {}
                Err(error) => return Ok(Err(SinkError::Unreachable(error.to_string()))),
            }
        }
        tracing::info!(
            sink = self.sink.name(),
            after = sequence,
            cursor = self.advance.cursor.sequence,
            "the audit trail is relayed from where the sink has come to"
        );
        self.follower = Some(follower);
        self.waiting.clear();
        self.since = None;
        self.advance.cursor = Cursor {
            sequence,
            head,
            begun: None,
        };
        Ok(Ok(()))
    }
}
