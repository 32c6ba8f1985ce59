//! Keeps callers from changing the gateway's own objects by their identifiers, which say nothing of what they stand for.
//!
//! Before an operation that changes an object is relayed, the store is asked what the object is called. To revoke and to destroy
//! objects of groups and of their keys is for key officers all the same: that is how groups are acted on from the store.

use crate::front::role::Rule;
use crate::group::request::RequestId;
use crate::kmip::client::{
    Attribute, AttributeName, Batch, Client, ClientError, GetAttributes, Request, Version,
};
use crate::kmip::codec::{Value, tag, values};

use super::local::Store;
use super::message::{AskedItem, Reply, name};

use values::{Operation as operation, ResultReason as reason};

/// What uses objects and leaves them as they are, or makes others of them. What is neither this, nor makes one, nor may be repeated
/// changes an object that is there.
const USES: [u32; 11] = [
    operation::Certify,
    operation::DeriveKey,
    operation::CreateSplitKey,
    operation::JoinSplitKey,
    operation::Export,
    operation::Encrypt,
    operation::Decrypt,
    operation::Sign,
    operation::SignatureVerify,
    operation::MAC,
    operation::MACVerify,
];
/// What makes an object, whose identifier the items after it may leave out.
const MAKES: [u32; 3] = [
    operation::Register,
    operation::Create,
    operation::CreateKeyPair,
];

/// An item, with the rule that it is relayed by.
type Allowed<'a> = (&'a AskedItem, &'static Rule);

/// Which object an item is about.
enum Target<'a> {
    /// It names none.
    None,
    One(&'a str),
    /// Several, or by something else than a text.
    Unclear,
}

/// The first of some items that follow one another which must not reach the store, and what is said instead.
pub(super) async fn first_refused(
    store: &Client,
    known: &Store,
    version: Option<Version>,
    items: &[Allowed<'_>],
) -> Result<Option<(usize, Reply)>, ClientError> {
    let blind = (0..items.len()).find(|at| is_blind(items, *at));
    let targets = items[..blind.unwrap_or(items.len())].iter().enumerate();
    let targets = targets.filter_map(|(at, allowed)| match target(allowed.0) {
        Target::One(id) if may_change(*allowed) => Some((at, allowed.0.operation, look_up(id))),
        _ => None,
    });
    let targets: Vec<(usize, u32, GetAttributes)> = targets.collect();
    if !targets.is_empty() {
        let asked = targets.iter().map(|(.., ask)| ask as &dyn Request);
        let asked: Vec<&dyn Request> = asked.collect();
        let request = known.correlation();
        let batch = Batch {
            ordered: true,
            go_on: true,
            version,
            correlation: request.as_ref().map(RequestId::as_str),
        };
        let answers = store.exchange(&asked, batch).await?;
        for (place, (at, operation, ask)) in targets.iter().enumerate() {
            let why = match answers.read(place, ask) {
                Ok(found) => {
                    let mut names = found.iter().filter_map(Attribute::text);
                    match names.any(|name| known.keeps(name, *operation)) {
                        true => "the object is one of the gateway's own, which it alone changes",
                        false => continue,
                    }
                }
                // The store says so itself.
                Err(error) if error.reason() == Some(reason::ItemNotFound) => continue,
                Err(ClientError::Failed { .. }) => {
                    "the key store does not say what the object is called"
                }
                Err(error) => return Err(error),
            };
            return Ok(Some((*at, refusal(*operation, why))));
        }
    }
    let why = "name one object by its identifier: without one, only what the same request has made is changed";
    Ok(blind.map(|at| (at, refusal(items[at].0.operation, why))))
}

fn refusal(operation: u32, why: &str) -> Reply {
    Reply::failed(
        reason::PermissionDenied,
        format!("{}: {why}", name(operation)),
    )
}

fn look_up(id: &str) -> GetAttributes {
    GetAttributes {
        unique_identifier: id.to_owned(),
        names: [tag::Name, tag::ObjectGroup]
            .map(AttributeName::Standard)
            .into(),
    }
}

fn changes((item, rule): Allowed<'_>) -> bool {
    let asked = item.operation;
    let spares = MAKES.contains(&asked) || USES.contains(&asked) || asked == operation::Import;
    !rule.repeatable && !spares
}

/// An import may replace an object, if it names one.
fn may_change(allowed: Allowed<'_>) -> bool {
    changes(allowed) || allowed.0.operation == operation::Import
}

fn target(item: &AskedItem) -> Target<'_> {
    let Value::Structure(items) = &item.payload.value else {
        return Target::None;
    };
    let mut named = items
        .iter()
        .filter(|item| item.tag == tag::UniqueIdentifier);
    match (named.next().map(|named| &named.value), named.next()) {
        (None, _) => Target::None,
        (Some(Value::TextString(id)), None) => Target::One(id),
        _ => Target::Unclear,
    }
}

/// Whether an item changes an object, and it cannot be told which.
fn is_blind(items: &[Allowed<'_>], at: usize) -> bool {
    let allowed = items[at];
    match target(allowed.0) {
        Target::One(_) => false,
        Target::Unclear => may_change(allowed),
        Target::None if !changes(allowed) => false,
        // It is about what the items before it made, or were about.
        Target::None => {
            let mut before = items[..at].iter().rev();
            let about_the_same =
                |before: Allowed<'_>| changes(before) && matches!(target(before.0), Target::None);
            let first = before.find(|before| !about_the_same(**before));
            !first.is_some_and(|(item, _)| MAKES.contains(&item.operation))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::role::rule;
    use crate::kmip::message::Structure;

    fn item(operation: u32, ids: &[&str]) -> AskedItem {
        let payload = ids
            .iter()
            .fold(Structure::new(tag::RequestPayload), |payload, id| {
                payload.text(tag::UniqueIdentifier, *id)
            });
        AskedItem::of(operation, payload.into())
    }

    /// The places of the items that cannot be told what they change.
    fn blind(items: &[AskedItem]) -> Vec<usize> {
        let items: Vec<(&AskedItem, &'static Rule)> = items
            .iter()
            .map(|item| (item, rule(item.operation).expect("is relayed")))
            .collect();
        (0..items.len())
            .filter(|at| is_blind(&items, *at))
            .collect()
    }

    #[test]
    fn what_is_changed_is_named_or_was_made_just_before() {
        use operation::{Activate, AddAttribute, Destroy, GetAttributes, Import, Locate, Register};
        let (made, none) = (item(Register, &[]), Vec::<usize>::new());
        assert_eq!(
            blind(&[made, item(Activate, &[]), item(AddAttribute, &[])]),
            none
        );
        assert_eq!(blind(&[item(Locate, &[]), item(Destroy, &[])]), [1]);
        let other = item(GetAttributes, &["7"]);
        assert_eq!(
            blind(&[item(Register, &[]), other, item(Destroy, &[])]),
            [2]
        );
        assert_eq!(blind(&[item(Destroy, &["7"]), item(Destroy, &[])]), [1]);
        assert_eq!(blind(&[item(Destroy, &["7", "8"])]), [0]);
        assert_eq!(blind(&[item(Destroy, &["7"]), item(Import, &[])]), none);
        assert_eq!(blind(&[item(Import, &["7", "8"])]), [0]);
    }

    #[test]
    fn key_officers_end_objects_of_groups_and_nothing_else_of_the_gateway() {
        let known = Store::new("here", false);
        use operation::{Archive, Destroy, Revoke};
        for name in ["here.group.ab", "here.key.ab.1.2-3", "here.keys"] {
            assert!(!known.keeps(name, Revoke) && !known.keeps(name, Destroy));
            assert!(known.keeps(name, Archive), "{name}");
        }
        for name in ["here.policy.room", "here.rules", "here.audit.1-2"] {
            assert!(
                known.keeps(name, Revoke) && known.keeps(name, Destroy),
                "{name}"
            );
        }
        assert!(!known.keeps("hereafter", Archive) && !known.keeps("there.rules", Destroy));
    }
}
