//! The engine on a real store and a software token, without a network.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::attributes::Attributes;
use crate::attributes::certificate::Certificate;
use crate::audit;
use crate::crypto::{self, EphemeralKey, Key};
use crate::group::ids::{
    Epoch, GroupId, GroupNonce, Identity, KeyRef, MasterId, MemberId, NodeId, Role, Suite,
};
use crate::group::policy::{AdmissionRule, GroupPolicy};
use crate::group::wire::datagram::ChannelId;
use crate::group::wire::{
    Grant, Join, Offer, OpenChannel, Pull, RefusalCode, RemovalReason, Response, Resume,
};
use crate::hsm::{Lane, PinSource, PoolOptions, TokenConfig, TokenKind};
use crate::store::SqliteStore;

const GROUP: &str = "room";

struct Site {
    folder: tempfile::TempDir,
    token: Arc<Pool>,
    /// What roots are escrowed under, which the token has too.
    escrow: Key,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pin = folder.path().join("pin");
        std::fs::write(&pin, "correct horse").expect("a PIN file");
        let config = TokenConfig {
            kind: TokenKind::Soft {
                path: folder.path().join("token"),
            },
            pin: PinSource::File(pin),
            master: MasterId(1),
            escrow: Some("wardcast escrow".to_owned()),
        };
        crate::hsm::provision(&config).expect("a token");
        let escrow = Key::generate();
        let taken = crate::hsm::provision_escrow(std::slice::from_ref(&config), Some(&escrow));
        assert_eq!(taken, Ok(true));
        let opener = crate::hsm::open(&config).expect("the token");
        let lane = Lane {
            name: "soft".to_owned(),
            opener,
        };
        let options = PoolOptions {
            workers: 2,
            queue: 1_000,
            ..PoolOptions::default()
        };
        let token = Arc::new(Pool::start(vec![lane], options).expect("a pool"));
        Self {
            folder,
            token,
            escrow,
        }
    }

    async fn engine(&self) -> Handle {
        self.engine_with(None).await
    }

    async fn engine_with(&self, audit: Option<Audit>) -> Handle {
        let store = SqliteStore::open(self.folder.path().join("store")).expect("a store");
        let parts = Parts {
            store: Arc::new(store),
            audit,
            token: self.token.clone(),
            shards: 2,
            lanes: 1,
            gate: Gate::open(),
            decider: Arc::default(),
            multicast: None,
        };
        start(parts).await.expect("an engine")
    }
}

fn policy() -> GroupPolicy {
    GroupPolicy {
        batch_interval_ms: 5,
        activation_delay_ms: 50,
        admit: vec![AdmissionRule {
            identity: "cn:*".into(),
            roles: vec![Role::Both],
        }],
        ..GroupPolicy::default()
    }
}

fn who(name: &str) -> Arc<Identity> {
    Arc::new(Identity(format!("cn:{name}")))
}

async fn join(
    engine: &Handle,
    name: &str,
    outbox: &Arc<Outbox>,
) -> Result<Grant, crate::group::wire::Refusal> {
    join_with(engine, name, outbox, None).await
}

async fn join_with(
    engine: &Handle,
    name: &str,
    outbox: &Arc<Outbox>,
    opening: Option<Opening>,
) -> Result<Grant, crate::group::wire::Refusal> {
    let request = Join {
        group: GROUP.into(),
        role: Role::Both,
        offer: Offer::of(Suite::One, EphemeralKey::generate().public().to_vec()),
        token: None,
        channel: opening.is_some(),
    };
    let who = who(name);
    let known = Attributes::new((*who).clone(), Certificate::default());
    engine.join(&who, request, Ok(known), outbox, opening).await
}

async fn next(outbox: &Outbox) -> Delivery {
    let waited = tokio::time::timeout(Duration::from_secs(10), outbox.next()).await;
    waited.expect("a push in time").expect("an open outbox")
}

fn evicting(member: MemberId) -> Eviction {
    Eviction {
        members: vec![member],
        urgent: true,
        reason: "test".into(),
        by: Some(Identity("cn:operator".into())),
    }
}

#[tokio::test]
async fn a_member_joins_is_pushed_epochs_and_is_evicted() {
    let site = Site::new();
    let engine = site.engine().await;
    engine.create(GROUP, policy()).await.expect("a group");
    let (anna, bert) = (Outbox::new(), Outbox::new());
    let first = join(&engine, "anna", &anna).await.expect("a grant");
    let second = join(&engine, "bert", &bert).await.expect("a grant");
    assert_ne!(first.leaf, second.leaf);

    let view = engine.group(GROUP).await.expect("the group");
    assert_eq!(view.status.assurance.members, 2);
    engine
        .evict(GROUP, evicting(second.member))
        .await
        .expect("an eviction");
    loop {
        let delivery = next(&bert).await;
        if let DuePush::Removed(reason) = delivery.push {
            assert_eq!(reason, RemovalReason::Evicted);
            break;
        }
        bert.done(delivery.registration, Outcome::NeedsPath);
    }
    // The evicted one has no registration any more, and what is another's is not told.
    let pull = Pull {
        group: GROUP.into(),
        member: second.member,
        epoch: Epoch(0),
        offer: None,
        leaf: None,
    };
    let refused = engine
        .pull(&who("bert"), pull)
        .await
        .expect_err("no registration");
    assert_eq!(refused.code, RefusalCode::UnknownMember);
    let delivery = next(&anna).await;
    assert_eq!(delivery.registration.1, first.member);
}

#[tokio::test]
async fn whoever_asks_for_a_channel_tells_what_it_holds_with_that() {
    let site = Site::new();
    let engine = site.engine().await;
    engine.create(GROUP, policy()).await.expect("a group");
    let outbox = Outbox::new();
    let grant = join(&engine, "anna", &outbox).await.expect("a grant");
    let open = |epoch| OpenChannel {
        group: GROUP.into(),
        member: grant.member,
        epoch,
    };
    let opening = || Opening {
        lane: 0,
        whereabouts: Whereabouts::new(|| None),
        export: Box::new(|_| Some(Key::generate())),
    };
    let (anna, bert) = (who("anna"), who("bert"));
    let asked = [(None, Epoch(0)), (Some(Epoch(1)), Epoch(1))];
    for (epoch, acknowledged) in asked {
        // Nobody sends datagrams here.
        let opened = engine.open_channel(&anna, open(epoch), &outbox, opening());
        let refused = opened.await.expect_err("there is no channel");
        assert_eq!(refused.code, RefusalCode::NoChannel);
        let members = engine.members(GROUP, None, 1).await.expect("its members");
        assert_eq!(members[0].acknowledged, acknowledged);
    }
    // Whoever it is not.
    let other = engine.open_channel(&bert, open(Some(Epoch(1))), &outbox, opening());
    assert_eq!(
        other.await.expect_err("is another's").code,
        RefusalCode::UnknownMember
    );
}

/// For a channel with an address; counts how often a key was exported for one.
fn opening(opened: &Arc<AtomicUsize>) -> Opening {
    let opened = opened.clone();
    Opening {
        lane: 0,
        whereabouts: Whereabouts::new(|| "127.0.0.1:9".parse().ok()),
        export: Box::new(move |_| {
            opened.fetch_add(1, Ordering::Relaxed);
            Some(Key::generate())
        }),
    }
}

#[tokio::test]
async fn a_channel_comes_with_the_grant_and_ends_with_the_registration() {
    let site = Site::new();
    let engine = site.engine().await;
    engine.create(GROUP, policy()).await.expect("a group");
    let (outbox, opened) = (Outbox::new(), Arc::default());
    let grant = join_with(&engine, "anna", &outbox, Some(opening(&opened))).await;
    let grant = grant.expect("a grant, though nobody sends datagrams");
    assert_eq!((grant.channel, opened.load(Ordering::Relaxed)), (None, 0));

    let mut volleys = engine.channels().outbound().expect("nobody took it").lanes;
    let volleys = volleys.remove(0);
    let outbox = Outbox::new();
    let grant = join_with(&engine, "bert", &outbox, Some(opening(&opened))).await;
    let grant = grant.expect("a grant");
    let number = ChannelId(grant.channel.expect("it is opened").channel);
    let channel = engine.channels().table().get(number).cloned();
    let channel = channel.expect("it is in the table");
    assert_eq!(channel.registration().1, grant.member);
    assert!(matches!(volleys.try_recv(), Ok(Volley::Open(_))));
    // What was granted is expected, and not taken for acknowledged: the answer to the probe is news.
    let epoch = engine.group(GROUP).await.expect("the group").status;
    let epoch = epoch.epochs.delivered;
    assert_eq!((channel.held(), channel.will_hold()), (Epoch(0), epoch));
    assert!(channel.acknowledged(epoch));

    // Whoever does not say so is granted none, and whoever is refused has none opened.
    let without = join(&engine, "cleo", &Outbox::new())
        .await
        .expect("a grant");
    assert_eq!(without.channel, None);
    let again = join_with(&engine, "bert", &outbox, Some(opening(&opened))).await;
    assert_eq!(
        again.expect_err("is a member").code,
        RefusalCode::AlreadyMember
    );
    assert_eq!(opened.load(Ordering::Relaxed), 1);

    engine.detached(&outbox).await;
    let members = engine.members(GROUP, None, 9).await;
    assert_eq!(members.expect("its members").len(), 3);
    assert!(engine.channels().table().get(number).is_none());
}

#[tokio::test]
async fn a_restart_keeps_groups_and_registrations() {
    let site = Site::new();
    let engine = site.engine().await;
    engine.create(GROUP, policy()).await.expect("a group");
    let outbox = Outbox::new();
    let grant = join(&engine, "anna", &outbox).await.expect("a grant");
    let before = engine.group(GROUP).await.expect("the group").status;
    drop(engine);

    let engine = loop {
        // The store's lock goes with the last shard, which ends in its own time.
        tokio::time::sleep(Duration::from_millis(20)).await;
        if SqliteStore::open(site.folder.path().join("store")).is_ok() {
            break site.engine().await;
        }
    };
    let after = engine.group(GROUP).await.expect("the group").status;
    assert_eq!(
        (after.revision, after.epochs.newest),
        (before.revision, before.epochs.newest)
    );
    let resume = Resume {
        group: GROUP.into(),
        member: grant.member,
        leaf: grant.leaf,
        epoch: Epoch(0),
        offer: None,
    };
    let path = engine
        .resume(&who("anna"), resume.clone(), &outbox)
        .await
        .expect("a path");
    assert!(matches!(path, Response::Path(path) if !path.edges.is_empty()));
    let stranger = engine
        .resume(&who("eve"), resume, &outbox)
        .await
        .expect_err("not hers");
    assert_eq!(stranger.code, RefusalCode::UnknownMember);
}

#[tokio::test]
async fn a_stalled_member_has_one_pending_push() {
    let site = Site::new();
    let engine = site.engine().await;
    engine.create(GROUP, policy()).await.expect("a group");
    let outbox = Outbox::new();
    join(&engine, "anna", &outbox).await.expect("a grant");
    for _ in 0..5 {
        let before = engine
            .group(GROUP)
            .await
            .expect("the group")
            .status
            .epochs
            .delivered;
        engine.rotate(GROUP).await.expect("a rotation");
        while engine
            .group(GROUP)
            .await
            .expect("the group")
            .status
            .epochs
            .delivered
            == before
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(outbox.conflated(), 4);
    let delivery = next(&outbox).await;
    assert!(matches!(delivery.push, DuePush::Path), "{delivery:?}");
    let path = engine.path(delivery.registration).await.expect("a path");
    assert!(!path.edges.is_empty());
}

#[tokio::test]
async fn what_cannot_be_done_is_refused() {
    let site = Site::new();
    let engine = site.engine().await;
    let outbox = Outbox::new();
    let nowhere = join(&engine, "anna", &outbox).await.expect_err("no group");
    assert_eq!(nowhere.code, RefusalCode::UnknownGroup);
    engine
        .create(GROUP, GroupPolicy::default())
        .await
        .expect("a group");
    let nobody = join(&engine, "anna", &outbox)
        .await
        .expect_err("not admitted");
    assert_eq!(nobody.code, RefusalCode::NotAdmitted);
    assert!(
        engine.create(GROUP, policy()).await.is_err(),
        "the name is taken"
    );
    engine.set_policy(GROUP, policy()).await.expect("a policy");
    join(&engine, "anna", &outbox).await.expect("a grant");
    let twice = join(&engine, "anna", &outbox)
        .await
        .expect_err("registered already");
    assert_eq!(twice.code, RefusalCode::AlreadyMember);
    engine.destroy(GROUP).await.expect("destroyed");
    let gone = join(&engine, "anna", &outbox).await.expect_err("destroyed");
    assert_eq!(gone.code, RefusalCode::UnknownGroup);
    assert!(engine.groups().is_empty());
}

#[tokio::test]
async fn whoever_waits_as_a_group_is_frozen_is_put_on_record_as_refused() {
    let site = Site::new();
    let folder = site.folder.path().join("trail");
    let audit = Audit::open(&audit::Options::new(&folder, 1 << 20)).expect("a trail");
    let engine = site.engine_with(Some(audit)).await;
    let slow = GroupPolicy {
        batch_interval_ms: 60_000,
        ..policy()
    };
    engine.create(GROUP, slow).await.expect("a group");
    let (outbox, opened) = (Outbox::new(), Arc::default());
    let _outbound = engine.channels().outbound();
    let freeze = async {
        loop {
            let view = engine.group(GROUP).await.expect("the group");
            if view.status.queues.joins > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        engine.freeze(GROUP, "a reason", None).await
    };
    let both = async {
        tokio::join!(
            join_with(&engine, "anna", &outbox, Some(opening(&opened))),
            freeze
        )
    };
    let done = tokio::time::timeout(Duration::from_secs(20), both).await;
    let (joined, frozen) = done.expect("both are answered");
    frozen.expect("is frozen");
    let refusal = joined.expect_err("waits as it is frozen");
    assert_eq!(refusal.code, RefusalCode::Frozen);
    assert_eq!(
        opened.load(Ordering::Relaxed),
        0,
        "no channel is opened for him"
    );
    let mut refused = Vec::new();
    let verified = audit::verify(&folder, |record, _| {
        if let audit::Event::Refused { identity, why, .. } = &record.entry.event {
            refused.push((identity.clone(), why.clone()));
        }
    });
    verified.expect("is whole");
    let why = "the group is frozen: a reason".to_owned();
    assert_eq!(refused, [((*who("anna")).clone(), why)]);
}

#[tokio::test]
async fn roots_are_escrowed_by_name_or_it_is_said_whether_to_wait() {
    let site = Site::new();
    let engine = site.engine().await;
    let root = |level, step| KeyRef {
        node: NodeId { level, index: 0 },
        generation: 3,
        step,
    };
    let key = RootKey {
        group: GroupId([4; 16]),
        suite: Suite::One,
        master: MasterId(1),
        nonce: GroupNonce([5; 32]),
        root: root(2, 0),
    };
    let wrapped = engine.escrow(key).await.expect("is escrowed");
    let begun = crypto::key_unwrap(&site.escrow, &wrapped).expect("opens");
    let later = RootKey {
        root: root(2, 1),
        ..key
    };
    let wrapped = engine.escrow(later).await.expect("is escrowed");
    let later = crypto::key_unwrap(&site.escrow, &wrapped).expect("opens");
    assert_eq!(crypto::ratchet(Suite::One, &begun), later);
    let gone = RootKey {
        master: MasterId(9),
        ..key
    };
    let error = engine.escrow(gone).await.expect_err("has no such master");
    assert!(matches!(error, EscrowError::Never(_)), "{error}");
    assert!(error.to_string().contains("wardcast master 9"), "{error}");
    let leaf = RootKey {
        root: root(0, 0),
        ..key
    };
    let error = engine.escrow(leaf).await.expect_err("is no root");
    assert!(matches!(error, EscrowError::Never(_)), "{error}");
    let token = site.token.clone();
    let closed = tokio::task::spawn_blocking(move || token.shutdown()).await;
    closed.expect("shuts down");
    let error = engine.escrow(key).await.expect_err("has no token");
    assert!(matches!(error, EscrowError::Later(_)), "{error}");
}
