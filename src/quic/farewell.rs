//! Tells parked members that the gateway goes, and where to: by datagram, for they have no connection to be told on.
//!
//! They are told like they are told a rekey: who does not say that it knows is told again, twice. Members of earlier versions never
//! say so, and lose nothing: they find out when they are not answered any more.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::absence::Absence;
use super::fanout::PAUSES;
use crate::engine::{Channel, Channels};

/// Members of one lane whose datagrams are made before the ones before are sent.
const AT_ONCE: usize = 1_024;

/// Done when all know it, or were told often enough.
pub(super) async fn tell(channels: &Arc<Channels>, absence: Absence) {
    let parked = channels.staying().len();
    for (times, pause) in (1..).zip(PAUSES) {
        let staying = channels.staying();
        if staying.is_empty() {
            break;
        }
        let mut lanes = vec![Vec::new(); channels.lanes()];
        for channel in staying {
            lanes[channel.lane()].push(channel);
        }
        let mut telling = JoinSet::new();
        for (lane, members) in lanes.into_iter().enumerate() {
            telling.spawn(tell_lane(channels.clone(), lane, members, absence.clone()));
        }
        telling.join_all().await;
        // Nothing follows the last time, so nobody's answer is waited for then.
        if times < PAUSES.len() {
            sleep(pause).await;
        }
    }
    if parked > 0 {
        let silent = channels.staying().len();
        tracing::info!(parked, silent, "parked members are told to come back");
    }
}

/// The members of one lane, a few at a time: a datagram of each that is not sent yet would take much memory.
async fn tell_lane(
    channels: Arc<Channels>,
    lane: usize,
    members: Vec<Arc<Channel>>,
    absence: Absence,
) {
    for some in members.chunks(AT_ONCE) {
        let told = some.iter().filter_map(|own| own.farewell(absence.of_one()));
        channels.send_farewells(lane, told.collect()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::engine::Volley;
    use crate::engine::testing::{channels_and_outbound, opened, park};
    use crate::group::wire::datagram::Datagram;
    use crate::group::wire::{Message, Push};

    #[tokio::test]
    async fn whoever_is_parked_is_told_until_it_says_that_it_knows_and_thrice_at_most() {
        let (channels, outbound) = channels_and_outbound();
        let channels = Arc::new(channels);
        let open = |member| {
            opened(&channels, member, "127.0.0.1:9")
                .expect("is opened")
                .0
        };
        let [connected, answers, silent] = [1, 2, 3].map(open);
        park(&channels, &answers);
        park(&channels, &silent);
        let to = ["b.example.org:7443".to_owned()];
        let absence = Absence::of_all(Duration::from_secs(1), 3, &to);
        let own = channels.clone();
        let telling = tokio::spawn(async move { tell(&own, absence).await });
        let lane = outbound.lanes.into_iter().next().expect("there is one");
        let answering = answers.clone();
        let told = tokio::task::spawn_blocking(move || {
            let mut told = HashMap::new();
            while let Ok(volley) = lane.recv_timeout(Duration::from_secs(10)) {
                let Volley::Farewells(datagrams, done) = volley else {
                    continue;
                };
                for (to, datagram) in datagrams {
                    assert_eq!(to.to_string(), "127.0.0.1:9");
                    let Some(Datagram::GoAway(said)) = Datagram::parse(&datagram) else {
                        panic!("it is no go-away");
                    };
                    let channel = [&answering, &silent]
                        .into_iter()
                        .find(|own| own.number() == said.channel);
                    assert!(channel.expect("it is parked").key().vouches(&said));
                    let Ok(Push::GoAway(away)) = Push::from_bytes(said.what) else {
                        panic!("it says something else");
                    };
                    assert_eq!(away.to, Some(vec!["b.example.org:7443".to_owned()]));
                    assert!(away.retry_after_ms >= 1_000);
                    *told.entry(said.channel).or_insert(0) += 1;
                }
                answering.leaves();
                let _ = done.send(());
            }
            told
        });
        telling.await.expect("no panic");
        drop((channels, connected));
        let told = told.await.expect("no panic");
        assert_eq!(told.get(&answers.number()), Some(&1));
        assert_eq!(told.len(), 2, "who is connected is told there");
        assert!(told.values().any(|times| *times == PAUSES.len()));
    }
}
