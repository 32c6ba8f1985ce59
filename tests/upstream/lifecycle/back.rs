//! Back: what somebody does to objects upstream is noticed once, and acted on as policy says.

use wardcast::audit::Event;
use wardcast::group::policy::{GroupPolicy, OnRevoked};
use wardcast::kmip::client::Destroy;
use wardcast::kmip::codec::values::RevocationReasonCode as reason;

use super::*;
use crate::pykmip::PyKmip;
use crate::{Site, calm};

fn policy(on_revoked: OnRevoked) -> GroupPolicy {
    GroupPolicy {
        on_revoked,
        ..GroupPolicy::default()
    }
}

/// A bench over PyKMIP, which ends with the second.
async fn bench() -> (Bench, PyKmip) {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    (
        Bench::new(site.client(&[&server.url()], calm())).await,
        server,
    )
}

/// Somebody destroys an object.
async fn destroy(bench: &Bench, name: &str) {
    let destroy = Destroy {
        unique_identifier: bench.object(name).await,
    };
    bench.client.call(&destroy).await.expect("destroyed");
}

/// What the trail says was found upstream.
fn told(bench: &Bench) -> Vec<String> {
    let mut all = Vec::new();
    let read = wardcast::audit::verify(bench.folder.path(), |record, _| {
        if let Event::UpstreamEnded {
            object,
            state,
            action,
            ..
        } = &record.entry.event
        {
            all.push(format!("{object} {state}: {action}"));
        }
    });
    read.expect("is whole");
    all
}

#[tokio::test]
async fn each_policy_acts_in_its_way_and_once() {
    let (mut bench, _server) = bench().await;
    let policies = [OnRevoked::Roll, OnRevoked::Freeze, OnRevoked::Destroy];
    for (group, on_revoked) in (1..).zip(policies) {
        bench.groups([group], &policy(on_revoked)).await;
    }
    assert_eq!(bench.look().await, 0);
    bench
        .revoke(&key_object(1, 1), reason::CessationOfOperation)
        .await;
    bench.revoke(&group_object(2), reason::KeyCompromise).await;
    bench.revoke(&key_object(3, 1), reason::Superseded).await;
    destroy(&bench, &key_object(3, 1)).await;
    assert_eq!(bench.look().await, 3);
    let expected: Vec<_> = (1..).map(name).zip(policies).collect();
    assert_eq!(bench.script.acts(), expected);
    let found = [
        format!("test.{} revoked: roll", key_object(1, 1)),
        format!("test.{} compromised: freeze", group_object(2)),
        format!("test.{} destroyed: destroy", key_object(3, 1)),
    ];
    assert_eq!(told(&bench), found);
    // Not again, nor in another life.
    assert_eq!(bench.look().await, 0);
    bench.restart().await;
    assert_eq!(bench.look().await, 0);
    assert_eq!(bench.script.acts(), []);
    // What follows from it: a new generation, a thaw by an operator, an end.
    bench
        .take([
            (1, changed(2, 0, true)),
            (2, Event::Frozen { why: String::new() }),
            (2, Event::Thawed),
            (3, Event::GroupDestroyed),
        ])
        .await;
    let all = [
        (group_object(1), "active"),
        (key_object(1, 2), "active"),
        (format!("{}.2", group_object(2)), "active"),
        (key_object(2, 1), "active"),
    ];
    assert_eq!(bench.objects().await, are(all));
    assert_eq!(bench.look().await, 0);
    assert_eq!(bench.script.acts(), []);
}

#[tokio::test]
async fn a_group_object_that_was_revoked_has_a_successor_after_the_rollover() {
    let (mut bench, _server) = bench().await;
    bench.groups([1], &policy(OnRevoked::Roll)).await;
    bench
        .revoke(&group_object(1), reason::PrivilegeWithdrawn)
        .await;
    assert_eq!(bench.look().await, 1);
    assert_eq!(bench.script.acts(), [(name(1), OnRevoked::Roll)]);
    bench.take([(1, changed(2, 0, true))]).await;
    let all = [
        (format!("{}.2", group_object(1)), "active"),
        (key_object(1, 2), "active"),
    ];
    assert_eq!(bench.objects().await, are(all));
    assert_eq!(bench.look().await, 0, "it does not roll at each look");
    // The successor may be ended as well.
    bench
        .revoke(&format!("{}.2", group_object(1)), reason::Unspecified)
        .await;
    assert_eq!(bench.look().await, 1);
    assert_eq!(bench.script.acts(), [(name(1), OnRevoked::Roll)]);
}

#[tokio::test]
async fn what_cannot_be_done_at_once_is_done_later_even_in_another_life() {
    let (mut bench, mut server) = bench().await;
    bench.groups([1, 2], &policy(OnRevoked::Roll)).await;
    bench.revoke(&key_object(1, 1), reason::Unspecified).await;
    let stuck = |why: Option<&str>| {
        bench
            .script
            .with(|script| script.stuck = why.map(str::to_owned))
    };
    stuck(Some("the store is down"));
    assert_eq!(bench.look().await, 1);
    assert_eq!(bench.look().await, 0);
    assert_eq!(bench.script.acts(), []);
    stuck(None);
    bench.restart().await;
    assert_eq!(bench.look().await, 0);
    assert_eq!(bench.script.acts(), [(name(1), OnRevoked::Roll)]);
    assert_eq!(told(&bench).len(), 1);

    // A rollover that was done before a crash is not done again.
    bench.take([(1, changed(2, 0, true))]).await;
    bench.revoke(&key_object(1, 2), reason::Unspecified).await;
    bench
        .script
        .with(|script| script.stuck = Some("the store is down".to_owned()));
    assert_eq!(bench.look().await, 1);
    bench.script.with(|script| {
        script.stuck = None;
        let facts = script.groups.get_mut(&name(1)).expect("the group");
        facts.rollovers += 1;
    });
    bench.restart().await;
    assert_eq!(bench.look().await, 0);
    assert_eq!(bench.script.acts(), []);

    // Nor does it need the key store, which cannot tell how the other group is.
    bench.revoke(&group_object(1), reason::Unspecified).await;
    bench
        .script
        .with(|script| script.stuck = Some("the token is down".to_owned()));
    assert_eq!(bench.look().await, 1);
    bench.script.with(|script| script.stuck = None);
    server.kill();
    let (lifecycle, _) = bench.lifecycle.as_ref().expect("it runs");
    assert!(lifecycle.look().await.is_err(), "the key store is down");
    assert_eq!(bench.script.acts(), [(name(1), OnRevoked::Roll)]);
}

#[tokio::test]
async fn many_that_vanish_at_once_freeze_their_groups_until_an_operator_thaws_them() {
    let (mut bench, _server) = bench().await;
    bench.groups(1..=6, &policy(OnRevoked::Destroy)).await;
    for group in 1..=5 {
        bench
            .revoke(&group_object(group), reason::Unspecified)
            .await;
        destroy(&bench, &group_object(group)).await;
    }
    bench.revoke(&key_object(6, 1), reason::Unspecified).await;
    assert_eq!(bench.look().await, 6);
    let mut expected: Vec<_> = (1..=5)
        .map(|group| (name(group), OnRevoked::Freeze))
        .collect();
    expected.push((name(6), OnRevoked::Destroy));
    assert_eq!(bench.script.acts(), expected, "what was revoked was meant");
    let whys = bench.script.with(|script| script.whys.clone());
    let at_once = whys
        .iter()
        .filter(|why| why.starts_with("5 of 12 objects vanished"));
    assert_eq!(at_once.count(), 5, "{whys:?}");
    bench.restart().await;
    assert_eq!(bench.look().await, 0);
    let thaw = (1..=5).map(|group| (group, Event::Thawed));
    bench.take(thaw.chain([(6, Event::GroupDestroyed)])).await;
    let objects = bench.objects().await;
    let second = |group| format!("{}.2", group_object(group));
    for group in 1..=5 {
        let active = |name: String| objects.contains(&(name, "active".to_owned()));
        assert!(
            active(second(group)) && active(key_object(group, 1)),
            "{objects:?}"
        );
    }
    assert_eq!(objects.len(), 10);
    assert_eq!(bench.look().await, 0);
}

#[tokio::test]
async fn of_several_causes_the_strongest_action_is_taken() {
    let (mut bench, _server) = bench().await;
    bench.groups(1..=6, &policy(OnRevoked::Roll)).await;
    for group in 1..=5 {
        bench
            .revoke(&group_object(group), reason::Unspecified)
            .await;
        destroy(&bench, &group_object(group)).await;
    }
    // Found after the other one of its group, which is among many that vanished.
    bench.revoke(&key_object(3, 1), reason::KeyCompromise).await;
    assert_eq!(bench.look().await, 6);
    let action = |group| match group {
        3 => OnRevoked::Roll,
        _ => OnRevoked::Freeze,
    };
    let expected: Vec<_> = (1..=5).map(|group| (name(group), action(group))).collect();
    assert_eq!(bench.script.acts(), expected);
}
