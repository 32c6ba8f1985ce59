//! `kill -9` of the gateway while it does what is answered later: nothing is done twice, nothing that was promised is lost, and where
//! nobody knows it says so.

use std::time::Duration;

use wardcast::kmip::client::{Attribute, Locate, Request, Version};
use wardcast::kmip::codec::{tag, values};
use wardcast::kmip::message::Field;

use crate::Stage;
use crate::kmip::{Caller, Message, create};

use values::{Operation as operation, ResultStatus as status};

/// More by the variable.
const KILLS: u64 = 4;
/// Requests between two kills.
const EACH: u64 = 6;

/// How many objects have a name.
async fn named(officer: &Caller, name: &str) -> usize {
    let locate = Locate {
        attributes: vec![Attribute::name(name)],
        maximum_items: None,
    };
    let payload = locate.payload(Version::V1_4);
    let message = Message::new(Version::V1_4).raw(operation::Locate, payload);
    let payload = officer.exchange(message).await[0].payload();
    let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
    payload
        .children(tag::UniqueIdentifier)
        .expect("identifiers")
        .count()
}

#[tokio::test]
async fn kills_lose_nothing_and_do_nothing_twice() {
    let kills = std::env::var("WARDCAST_TEST_FRONT_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number"));
    let (mut stage, _server) = Stage::with_pykmip().await;
    let officer = stage.caller("officer");
    let (mut done, mut unknown) = (0, 0);
    for round in 0..kills {
        let mut asked = Vec::new();
        for number in 0..EACH {
            let name = format!("key {round} {number}");
            let value = officer
                .ask_later(operation::Create, create(&name))
                .await
                .pending();
            asked.push((name, value));
        }
        // At another point of the work each time.
        tokio::time::sleep(Duration::from_millis(round * 37 % 120)).await;
        stage.site.kill();
        stage.site.restart().await;
        for (name, value) in &asked {
            let reply = officer.answered(value).await;
            let there = named(&officer, name).await;
            if reply.status() == status::Success {
                assert_eq!(there, 1, "{name}");
                done += 1;
            } else {
                let said = reply.message();
                assert!(said.contains("unknown; look it up"), "{name}: {said}");
                assert!(there <= 1, "{name}");
                unknown += 1;
            }
        }
    }
    println!("{kills} kills: {done} done, {unknown} unknown");
    assert_eq!(done + unknown, kills * EACH);
    // No more are under way at a time.
    assert!(unknown <= kills * 4 && done > 0);
}
