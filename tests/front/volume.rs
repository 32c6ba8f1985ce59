//! How much of the audit trail a caller can fill.

use std::collections::HashSet;

use serde_json::{Value, json};
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::values::{Operation as operation, ResultStatus as status};

use crate::kmip::about;
use crate::stub::{Reaction, Stub, success};
use crate::{OBJECT, Site, Stage};

const LOOK_UPS: u64 = 1_000;
/// What they make at most: the first, and one a minute, on a machine that takes a quarter of an hour for them.
const FEW: usize = 16;

#[tokio::test]
async fn a_thousand_look_ups_are_few_records_and_none_is_lost() {
    let own = Site::new();
    let stub = Stub::start(&own, |message| Reaction::Answer(success(message))).await;
    let mut stage = Stage::start(own, &stub.url()).await;
    let (viewer, officer) = (stage.caller("viewer"), stage.caller("officer"));
    for number in 0..LOOK_UPS {
        let object = about(&format!("object-{number}"));
        let reply = viewer.ask(Version::V1_4, operation::GetAttributes, object);
        assert_eq!(reply.await.status(), status::Success);
    }
    for asked in [operation::Get, operation::Activate] {
        for _ in 0..3 {
            let reply = officer.ask(Version::V1_4, asked, about(OBJECT)).await;
            assert_eq!(reply.status(), status::Success);
        }
    }
    // The first is on record at once.
    let of = |trail: &[Value], name: &str| -> Vec<Value> {
        let own = trail.iter().filter(|record| record["operation"] == name);
        own.cloned().collect()
    };
    let trail = stage.site.audit();
    assert_eq!(of(&trail, "GetAttributes")[0]["object"], "object-0");
    assert!(stage.site.terminate().await.success());

    let trail = stage.site.audit();
    let looked_up = of(&trail, "GetAttributes");
    assert!(looked_up.len() <= FEW, "{looked_up:#?}");
    let times = looked_up.iter().map(|record| record["times"].as_u64());
    assert_eq!(
        times.map(|times| times.unwrap_or_default()).sum::<u64>(),
        LOOK_UPS
    );
    let who: HashSet<String> = looked_up
        .iter()
        .map(|record| record["actor"].to_string())
        .collect();
    let viewer = json!({ "kind": "caller", "name": "cn:viewer" });
    assert_eq!(who, HashSet::from([viewer.to_string()]));
    // A change is one record each time, and so is what may hand out a key.
    for (name, records) in [("Get", 3), ("Activate", 6)] {
        let found = of(&trail, name);
        assert_eq!(found.len(), records, "{name}");
        assert!(
            found
                .iter()
                .all(|record| record["times"].is_null() && record["object"] == OBJECT)
        );
    }
    let place = |what: &dyn Fn(&Value) -> bool| trail.iter().rposition(what).expect("it is there");
    let counted = place(&|record| record["operation"] == "GetAttributes");
    assert!(counted < place(&|record| record["event"] == "stopped"));
}
