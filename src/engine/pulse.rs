//! Whether the shards are there, and what is under way in them.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Handle;
use super::event::{Event, UnderWay};

impl Handle {
    /// The shards that do not answer within this time, in words. They are asked in turn with whatever else they are to do.
    pub async fn hanging(&self, within: Duration) -> Vec<String> {
        hanging(self.shards(), within).await
    }

    /// What is under way in all groups together, as far as the shards answer.
    pub async fn under_way(&self) -> UnderWay {
        let mut all = UnderWay::default();
        for shard in self.shards() {
            let own = asked(shard.clone(), Event::UnderWay)
                .await
                .unwrap_or_default();
            all.rekeys += own.rekeys;
            all.behind += own.behind;
        }
        all
    }
}

async fn hanging(shards: &[mpsc::Sender<Event>], within: Duration) -> Vec<String> {
    let asked = shards.iter().map(|shard| asked(shard.clone(), Event::Echo));
    let answers: Vec<_> = asked
        .map(|answer| tokio::spawn(timeout(within, answer)))
        .collect();
    let mut hanging = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        if !matches!(answer.await, Ok(Ok(Some(())))) {
            hanging.push(format!("engine shard {number}"));
        }
    }
    hanging
}

/// The answer of one shard, if there is one.
fn asked<T: Send + 'static>(
    shard: mpsc::Sender<Event>,
    event: impl FnOnce(oneshot::Sender<T>) -> Event,
) -> impl Future<Output = Option<T>> + Send + 'static {
    let (reply, answer) = oneshot::channel();
    let event = event(reply);
    async move {
        shard.send(event).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shard_that_does_not_turn_is_named_and_one_that_does_is_not() {
        let (turns, mut inbox) = mpsc::channel(1);
        let (hangs, _unread) = mpsc::channel(1);
        let (over, ended) = mpsc::channel(1);
        drop(ended);
        tokio::spawn(async move {
            while let Some(Event::Echo(reply)) = inbox.recv().await {
                let _ = reply.send(());
            }
        });
        let shards = [turns, hangs, over];
        let within = Duration::from_millis(200);
        let expected = ["engine shard 1", "engine shard 2"];
        assert_eq!(hanging(&shards, within).await, expected);
        // Its queue is full now: that is no answer either.
        assert_eq!(hanging(&shards, within).await, expected);
    }
}
