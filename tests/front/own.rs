//! The gateway's own objects in the store: nobody changes them through the front, but for key officers, who may end those of groups.

use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::kmip::client::{Attribute, Locate, Request, Version};
use wardcast::kmip::codec::{tag, values};
use wardcast::kmip::message::{Field, Structure};

use crate::Stage;
use crate::kmip::{Caller, Message, about, payload};
use crate::support::SOON;

use values::{Operation as operation, ResultStatus as status, RevocationReasonCode};

/// The identifiers of the objects in an object group, once there is one.
async fn objects(caller: &Caller, group: &str) -> Vec<String> {
    let locate = Locate {
        attributes: vec![Attribute::object_group(group)],
        maximum_items: None,
    };
    let began = Instant::now();
    loop {
        let message = Message::new(Version::V1_4);
        let message = message.raw(operation::Locate, locate.payload(Version::V1_4));
        let found = caller.exchange(message).await[0].payload();
        let found = Field::of(&found, tag::ResponsePayload).expect("a payload");
        let ids = found.children(tag::UniqueIdentifier).expect("identifiers");
        let ids: Vec<String> = ids.map(|id| id.text().expect("text").to_owned()).collect();
        if !ids.is_empty() {
            return ids;
        }
        assert!(began.elapsed() < 3 * SOON, "nothing is in {group}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn revoke(object: &str) -> Structure {
    let why = Structure::new(tag::RevocationReason).enumeration(
        tag::RevocationReasonCode,
        RevocationReasonCode::CessationOfOperation,
    );
    about(object).structure(why)
}

#[tokio::test]
async fn the_gateways_own_objects_are_its_own_by_identifier_too() {
    let (stage, _server) = Stage::with_pykmip().await;
    stage.site.create("studio", json!({})).await;
    let (operator, officer) = (stage.caller("operator"), stage.caller("officer"));
    let own = "is one of the gateway's own";
    let of_groups = objects(&operator, "wardcast.keys").await;
    for object in &of_groups {
        let reply = operator
            .ask(Version::V1_4, operation::Activate, about(object))
            .await;
        assert!(reply.denied().contains(own), "{reply:?}");
        let later = operator.ask_later(operation::Activate, about(object)).await;
        let reply = operator.answered(&later.pending()).await;
        assert!(reply.denied().contains(own), "{reply:?}");
    }
    let batch = objects(&operator, "wardcast.audit").await.remove(0);
    let reply = officer
        .ask(Version::V1_4, operation::Destroy, about(&batch))
        .await;
    assert!(reply.denied().contains(own), "{reply:?}");
    // Nor by what a look-up before has found.
    let locate = Locate {
        attributes: vec![Attribute::object_group("wardcast.audit")],
        maximum_items: Some(1),
    };
    let found = Message::new(Version::V1_4)
        .raw(operation::Locate, locate.payload(Version::V1_4))
        .item(operation::Destroy, payload());
    let replies = officer.exchange(found).await;
    assert_eq!(replies[0].status(), status::Success);
    assert!(replies[1].denied().contains("by its identifier"));
    assert!(objects(&operator, "wardcast.audit").await.contains(&batch));
    // What the gateway acts on.
    let reply = officer
        .ask(Version::V1_4, operation::Revoke, revoke(&of_groups[0]))
        .await;
    assert_eq!(reply.status(), status::Success, "{reply:?}");
}
