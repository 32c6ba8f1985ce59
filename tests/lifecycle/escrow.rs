//! Escrow: the root of a generation goes up wrapped, and whoever has the escrow key computes what members do.

use serde_json::json;
use wardcast::crypto::{self, Key};
use wardcast::group::ids::{Epoch, Role, Suite};
use wardcast::kmip::client::{Get, Object};
use wardcast::member::{Event, Membership};

use super::Upstream;
use crate::support::{GROUP, Setup, Site};

const ESCROW: [u8; 32] = [0x5e; 32];

/// What a member exports from the next epoch that it installs.
async fn next_export(membership: &mut Membership) -> (Epoch, Vec<u8>) {
    loop {
        let event = membership.next().await.expect("it is a member");
        if let Event::Installed { epoch } = event {
            let key = membership.export(epoch, "test", b"", 32);
            return (epoch, key.expect("is installed").to_vec());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escrowed_root_opens_under_the_escrow_key_to_what_members_compute() {
    let upstream = Upstream::start();
    let more = upstream.config();
    let escrow = "5e".repeat(32);
    let mut site = Site::start(Setup {
        more: &more,
        environment: &[("WARDCAST_LISTEN__DRAIN_S", "60")],
        escrow: &escrow,
        ..Setup::default()
    })
    .await;
    site.create(GROUP, json!({ "escrow": true })).await;
    let id = site.group(GROUP).await.id;
    let group = format!("test.group.{id}");
    let membership = site.client("anna").join(GROUP, Role::Both).await;
    let mut membership = membership.expect("joins");
    for generation in [1, 2] {
        if generation == 2 {
            site.rotate(GROUP).await;
        }
        let (epoch, exported) = next_export(&mut membership).await;
        let key = format!("test.key.{id}.1.1-{generation}");
        let all = upstream.active(&[&group, &key]).await;
        let get = Get {
            unique_identifier: all[&key].0.clone(),
        };
        let got = upstream.client.call(&get).await.expect("got").object;
        let Object::WrappedKey(wrapped) = got else {
            panic!("it is not the key: {got:?}");
        };
        assert_eq!(wrapped.wrapping.unique_identifier, "escrow key");
        let wrapped = wrapped.material.as_bytes().try_into().expect("40 bytes");
        let root = crypto::key_unwrap(&Key::from_bytes(ESCROW), &wrapped);
        let root = root.expect("it is wrapped under the escrow key");
        let secret =
            crypto::EpochSecret::of(Suite::One, &root, membership.ticket().group_id, epoch);
        let computed = secret.export("test", b"", 32).expect("is short");
        assert_eq!(*computed, exported, "epoch {epoch}");
        let other = crypto::key_unwrap(&Key::from_bytes([1; 32]), &wrapped);
        assert!(other.is_none(), "nobody else opens it");
    }
    assert!(site.terminate().await.success());
}
