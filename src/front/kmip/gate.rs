//! What a caller may ask for, and what of an answer it may see.
//!
//! Keys in the clear are for key officers. Others may `Get` what is none: a certificate, a public key, an opaque object, a key that the
//! store keeps wrapped. They cannot have a key wrapped for them, for they could know the key that it is wrapped under.
//!
//! Names of the gateway's own objects are for the gateway alone: whoever gave one could put a policy document, or a batch of the
//! audit trail, in the gateway's place.

use crate::front::role::{LOCAL, Role, Roles, Rule, named, rule};
use crate::kmip::codec::{Item, Tag, Value, tag, values};
use crate::kmip::message::Field;

use super::local::Store;
use super::message::{AskedItem, Reply, name};

use values::{Operation as operation, ResultReason as reason};

/// What becomes of an item.
pub(super) enum Decision {
    /// The gateway answers it.
    Local,
    /// The key store says that something changed there.
    Notify,
    /// The store answers it.
    Relay(&'static Rule),
    /// It is refused, because of a role that is lacking.
    Denied(Reply),
    /// It is nothing that is done here.
    Unsupported(Reply),
}

/// Decides about an item.
pub(super) fn decide(roles: Roles, item: &AskedItem, store: &Store) -> Decision {
    let called = name(item.operation);
    if LOCAL.contains(&item.operation) {
        return match roles.is_empty() {
            true => denied(&called, &Role::ALL),
            false => Decision::Local,
        };
    }
    let Some(rule) = rule(item.operation) else {
        // Refusals are counted where they are repeated: who may do nothing cannot fill the trail with what nobody does.
        if roles.is_empty() {
            return denied(&called, &Role::ALL);
        }
        let why = format!("{called}: is not relayed; Query says what is");
        return Decision::Unsupported(Reply::failed(reason::OperationNotSupported, why));
    };
    if !roles.has_one_of(rule.roles) {
        return denied(&called, rule.roles);
    }
    let wraps =
        item.operation == operation::Get && has(&item.payload, tag::KeyWrappingSpecification);
    if wraps && !roles.has(Role::KeyOfficer) {
        return denied("Get with KeyWrappingSpecification", &[Role::KeyOfficer]);
    }
    // What may be repeated changes nothing.
    if !rule.repeatable && names_own(&item.payload, store) {
        let why = format!("{called}: names of the gateway's own objects are for the gateway alone");
        return Decision::Denied(Reply::failed(reason::PermissionDenied, why));
    }
    Decision::Relay(rule)
}

/// Whether a tree has a name or an object group of the gateway's own objects, in the form of any version.
fn names_own(item: &Item, store: &Store) -> bool {
    match &item.value {
        Value::Structure(items) => items.iter().any(|item| names_own(item, store)),
        Value::TextString(text) => {
            let names = [tag::NameValue, tag::ObjectGroup, tag::AttributeValue];
            names.contains(&item.tag) && store.is_own(text)
        }
        _ => false,
    }
}

fn denied(what: &str, roles: &[Role]) -> Decision {
    Decision::Denied(refusal(what, roles))
}

/// What somebody is told who lacks a role.
pub(super) fn refusal(what: &str, roles: &[Role]) -> Reply {
    let why = format!("{what}: needs the role {}", named(roles));
    Reply::failed(reason::PermissionDenied, why)
}

/// Whether an answer of the store is withheld from a caller of these roles, and what it is told instead.
pub(super) fn withheld(roles: Roles, operation: u32, reply: &Reply) -> Option<Reply> {
    if roles.has(Role::KeyOfficer) {
        return None;
    }
    let payload = reply.payload()?;
    let open = match operation {
        operation::Get => !is_no_key(payload),
        _ => holds_key(payload),
    };
    let what = format!("{} of a key in the clear", name(operation));
    open.then(|| refusal(&what, &[Role::KeyOfficer]))
}

/// Whether the payload of an answered `Get` is known to hold no key in the clear. What is unknown may be one.
fn is_no_key(payload: &Item) -> bool {
    let Value::Structure(items) = &payload.value else {
        return false;
    };
    items.iter().all(|item| match item.tag {
        tag::UniqueIdentifier
        | tag::ObjectType
        | tag::Certificate
        | tag::CertificateRequest
        | tag::PublicKey
        | tag::OpaqueObject => true,
        tag::SymmetricKey | tag::PrivateKey | tag::SplitKey | tag::SecretData => is_wrapped(item),
        _ => false,
    })
}

/// Whether an object's key block is encrypted.
fn is_wrapped(object: &Item) -> bool {
    let method = || {
        let block = Field::of(object, object.tag)?.child(tag::KeyBlock)?;
        let data = block.child(tag::KeyWrappingData)?;
        data.child(tag::WrappingMethod)?.enumeration()
    };
    // A code alone hides nothing.
    method().is_ok_and(|method| {
        use values::WrappingMethod as wrapping;
        [
            wrapping::Encrypt,
            wrapping::EncryptThenMACSign,
            wrapping::MACSignThenEncrypt,
            wrapping::TR_31,
        ]
        .contains(&method)
    })
}

/// Whether a tree may hold what is secret: a key in the clear, or what is meant to be one, or a password.
pub(super) fn holds_key(item: &Item) -> bool {
    match item.tag {
        tag::PublicKey | tag::Certificate | tag::CertificateRequest => return false,
        tag::SymmetricKey | tag::PrivateKey | tag::SplitKey | tag::SecretData => {
            return !is_wrapped(item);
        }
        tag::KeyBlock
        | tag::KeyMaterial
        | tag::PGPKey
        | tag::OpaqueObject
        | tag::Data
        | tag::Credential
        | tag::Password => return true,
        _ => {}
    }
    match &item.value {
        Value::Structure(items) => items.iter().any(holds_key),
        _ => false,
    }
}

fn has(payload: &Item, tag: Tag) -> bool {
    match &payload.value {
        Value::Structure(items) => items.iter().any(|item| item.tag == tag),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmip::message::Structure;

    fn item(operation: u32, payload: Structure) -> AskedItem {
        AskedItem::of(operation, payload.into())
    }

    fn payload() -> Structure {
        Structure::new(tag::RequestPayload)
    }

    fn store() -> Store {
        Store::new("wardcast", false)
    }

    fn roles(role: Role) -> Roles {
        Roles::default().with(role)
    }

    /// A symmetric key; wrapped by this method.
    fn key(method: Option<u32>) -> Structure {
        let data = method.map(|method| {
            Structure::new(tag::KeyWrappingData).enumeration(tag::WrappingMethod, method)
        });
        let value = Structure::new(tag::KeyValue).bytes(tag::KeyMaterial, b"secret".as_slice());
        let block = Structure::new(tag::KeyBlock).structure(value);
        Structure::new(tag::SymmetricKey).structure(block.items(data.map(Item::from)))
    }

    fn got(object: Structure) -> Reply {
        let items = Structure::new(tag::ResponsePayload)
            .enumeration(tag::ObjectType, values::ObjectType::SymmetricKey)
            .text(tag::UniqueIdentifier, "7");
        let Item { value, .. } = items.structure(object).into();
        match value {
            Value::Structure(items) => Reply::done(items),
            _ => panic!("a structure"),
        }
    }

    #[test]
    fn who_lacks_a_role_is_told_which_one() {
        let Decision::Denied(reply) = decide(
            roles(Role::Viewer),
            &item(operation::Revoke, payload()),
            &store(),
        ) else {
            panic!("a viewer does not revoke");
        };
        assert_eq!(reply.outcome(), "PermissionDenied");
        let said = format!("{:?}", reply.items);
        assert!(
            said.contains("Revoke: needs the role key officer"),
            "{said}"
        );
        assert!(matches!(
            decide(
                Roles::default(),
                &item(operation::Query, payload()),
                &store()
            ),
            Decision::Denied(_)
        ));
        for never in [operation::Login, operation::Put, 0x8000_0001] {
            let decision = decide(roles(Role::KeyOfficer), &item(never, payload()), &store());
            assert!(matches!(decision, Decision::Unsupported(_)), "{never}");
        }
    }

    #[test]
    fn only_key_officers_have_keys_wrapped_for_them() {
        let wrapping = Structure::new(tag::KeyWrappingSpecification);
        let get = item(operation::Get, payload().structure(wrapping));
        assert!(matches!(
            decide(roles(Role::Operator), &get, &store()),
            Decision::Denied(_)
        ));
        assert!(matches!(
            decide(roles(Role::KeyOfficer), &get, &store()),
            Decision::Relay(_)
        ));
    }

    #[test]
    fn nobody_gives_an_object_a_name_of_the_gateways_own() {
        let name = |name: &str| {
            let value = Structure::new(tag::Name).text(tag::NameValue, name);
            let attributes = Structure::new(tag::Attributes).structure(value);
            payload().structure(attributes)
        };
        let old = |group: &str| {
            let attribute = Structure::new(tag::Attribute)
                .text(tag::AttributeName, "Object Group")
                .text(tag::AttributeValue, group);
            payload().structure(attribute)
        };
        let is_denied = |operation: u32, payload: Structure| {
            let decision = decide(roles(Role::KeyOfficer), &item(operation, payload), &store());
            matches!(decision, Decision::Denied(_))
        };
        assert!(is_denied(operation::Register, name("wardcast.policy.room")));
        assert!(is_denied(operation::AddAttribute, old("wardcast.policies")));
        assert!(!is_denied(operation::Register, name("wardcasts")));
        assert!(!is_denied(operation::Locate, name("wardcast.policy.room")));
        let revoke = payload().text(tag::UniqueIdentifier, "wardcast.key.1");
        assert!(!is_denied(operation::Revoke, revoke));
    }

    #[test]
    fn keys_in_the_clear_are_withheld_from_all_but_key_officers() {
        use values::WrappingMethod as wrapping;
        let plain = Structure::new(tag::OpaqueObject).bytes(tag::OpaqueDataValue, b"x".as_slice());
        let cases = [
            (key(None), true),
            (key(Some(wrapping::Encrypt)), false),
            (key(Some(wrapping::MACSign)), true),
            (key(Some(0x8000_0001)), true),
            (plain, false),
            (Structure::new(tag::SecretData), true),
            (Structure::new(tag::PGPKey), true),
            (Structure::new(Tag::new(0x54, 1)), true),
        ];
        for (object, is) in cases {
            let reply = got(object);
            for role in [Role::Operator, Role::Auditor, Role::Viewer] {
                let told = withheld(roles(role), operation::Get, &reply);
                assert_eq!(told.is_some(), is, "{role}: {:?}", reply.items);
                assert!(told.is_none_or(|told| told.payload().is_none()));
            }
            assert!(withheld(roles(Role::KeyOfficer), operation::Get, &reply).is_none());
        }
        // Whatever a store puts into an answer where nobody expects it.
        assert!(withheld(roles(Role::Viewer), operation::Locate, &got(key(None))).is_some());
    }

    #[test]
    fn what_may_be_a_key_is_found_wherever_it_is() {
        let deep = payload().structure(Structure::new(tag::Attributes).structure(key(None)));
        assert!(holds_key(&deep.into()));
        let wrapped = key(Some(values::WrappingMethod::Encrypt));
        assert!(!holds_key(&payload().structure(wrapped).into()));
        let public = Structure::new(tag::PublicKey).structure(Structure::new(tag::KeyBlock));
        assert!(!holds_key(&payload().structure(public).into()));
        let opaque = Structure::new(tag::OpaqueObject).bytes(tag::OpaqueDataValue, b"?".as_slice());
        assert!(holds_key(&payload().structure(opaque).into()));
    }
}
