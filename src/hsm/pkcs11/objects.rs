//! Objects of a token: those that stay, found by label, and what those that are derived may do.

use bytes::Bytes;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState};
use cryptoki_sys::CKR_USER_NOT_LOGGED_IN;

use super::error::{call, returned};
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::{Issuer, PublicKey};
use crate::hsm::{AGREEMENT, SIGNING, TokenError, master_label, suite_label};

/// What a derived key may do; nothing else is allowed to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Derives node keys.
    Seed,
    /// Derives and is wrapped; wraps by itself in suite 1.
    Node,
    /// Computes tags.
    Confirm,
    /// What ECDH or a KEM gave: derives a kek.
    Agreed,
    /// Both secrets of a grant of suite 2, one after the other: derives a kek.
    Joined,
    /// Wraps one key.
    Kek,
}

impl Purpose {
    pub(super) fn template(self, suite: Suite) -> Vec<Attribute> {
        let derives = !matches!(self, Purpose::Confirm | Purpose::Kek);
        let (kind, wraps) = match suite {
            Suite::One => (KeyType::AES, matches!(self, Purpose::Node | Purpose::Kek)),
            // What derives does nothing else.
            Suite::Two if derives => (KeyType::GENERIC_SECRET, false),
            Suite::Two => (KeyType::AES, self == Purpose::Kek),
        };
        let mut template = secret_key(kind, derives, wraps, self == Purpose::Confirm);
        if self == Purpose::Joined {
            let length = Attribute::ValueLen(64.into());
            template.retain(|attribute| !matches!(attribute, Attribute::ValueLen(_)));
            template.push(length);
        }
        template.push(Attribute::Token(false));
        template.push(Attribute::Extractable(self == Purpose::Node));
        template
    }
}

/// A key of 32 bytes that stays in the token but for a wrap; says of every use whether it is allowed.
pub(super) fn secret_key(kind: KeyType, derive: bool, wrap: bool, sign: bool) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(kind),
        Attribute::ValueLen(32.into()),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Derive(derive),
        Attribute::Wrap(wrap),
        Attribute::Sign(sign),
        Attribute::Unwrap(false),
        Attribute::Verify(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
    ]
}

/// The templates of a key pair, from what both halves have: it signs, or it derives, and the private half stays.
pub(super) fn halves(
    both: impl Fn(ObjectClass) -> Vec<Attribute>,
    signs: bool,
) -> (Vec<Attribute>, Vec<Attribute>) {
    let mut public = both(ObjectClass::PUBLIC_KEY);
    public.extend([Attribute::Private(false), Attribute::Verify(signs)]);
    let mut private = both(ObjectClass::PRIVATE_KEY);
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(signs),
        Attribute::Derive(!signs),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
    ]);
    (public, private)
}

/// The master key of that id.
pub(super) fn master(
    session: &Session,
    suite: Suite,
    id: MasterId,
) -> Result<ObjectHandle, TokenError> {
    let label = suite_label(suite, &master_label(id));
    let master = one(session, ObjectClass::SECRET_KEY, &label)?;
    safe(session, master, &label)?;
    Ok(master)
}

/// The escrow key of that label: AES-256, to wrap with. It must not open what it has wrapped.
pub(super) fn escrow(session: &Session, label: &str) -> Result<ObjectHandle, TokenError> {
    let key = one(session, ObjectClass::SECRET_KEY, label)?;
    safe(session, key, label)?;
    let wanted = [
        AttributeType::KeyType,
        AttributeType::ValueLen,
        AttributeType::Wrap,
        AttributeType::Unwrap,
        AttributeType::Decrypt,
    ];
    let attributes = session
        .get_attributes(key, &wanted)
        .map_err(call("read the escrow key's attributes"))?;
    let has = |attribute| attributes.contains(&attribute);
    let why = if !has(Attribute::KeyType(KeyType::AES)) || !has(Attribute::ValueLen(32.into())) {
        "is no AES key of 256 bits"
    } else if !has(Attribute::Wrap(true)) {
        "may not wrap (CKA_WRAP)"
    } else if !has(Attribute::Unwrap(false)) || !has(Attribute::Decrypt(false)) {
        "could open what it has wrapped (CKA_UNWRAP, CKA_DECRYPT)"
    } else {
        return Ok(key);
    };
    Err(TokenError::UnsafeKey {
        label: label.to_owned(),
        why: why.into(),
    })
}

/// The private key of that label.
pub(super) fn private_key(session: &Session, label: &str) -> Result<ObjectHandle, TokenError> {
    let key = one(session, ObjectClass::PRIVATE_KEY, label)?;
    safe(session, key, label)?;
    Ok(key)
}

/// The public halves of the agreement and signing keys.
pub(super) fn issuer(session: &Session) -> Result<Issuer, TokenError> {
    Ok(Issuer {
        signing: Bytes::copy_from_slice(&public_key(session, SIGNING)?),
        agreement: Bytes::copy_from_slice(&public_key(session, AGREEMENT)?),
    })
}

fn public_key(session: &Session, label: &str) -> Result<PublicKey, TokenError> {
    let key = one(session, ObjectClass::PUBLIC_KEY, label)?;
    let attributes = session
        .get_attributes(key, &[AttributeType::EcPoint])
        .map_err(call("read a public key"))?;
    let point = match &attributes[..] {
        // The standard asks for a DER octet string; some tokens give the bare point.
        [Attribute::EcPoint(der)] => der.strip_prefix(&[0x04, 65]).unwrap_or(der),
        _ => &[],
    };
    let point: Option<PublicKey> = point.try_into().ok();
    point
        .filter(crate::crypto::is_point)
        .ok_or_else(|| TokenError::UnsafeKey {
            label: label.to_owned(),
            why: "is not on P-256".into(),
        })
}

/// How many objects of the token have this class and label.
pub(super) fn find(
    session: &Session,
    class: ObjectClass,
    label: &str,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let template = [
        Attribute::Token(true),
        Attribute::Class(class),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    session
        .find_objects(&template)
        .map_err(call("look for a key"))
}

/// What `look` finds; nothing only if it found nothing while the login stood.
pub(super) fn while_logged_in<T>(
    session: &Session,
    look: impl Fn() -> Result<Vec<T>, TokenError>,
) -> Result<Vec<T>, TokenError> {
    // Twice: between the first look and its check, another session may have logged the process in again.
    for _ in 0..2 {
        let found = look()?;
        logged_in(session)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Refuses a session whose login is lost: it sees no private object, so what it does not find may well be there.
pub(super) fn logged_in(session: &Session) -> Result<(), TokenError> {
    let operation = "look at the login";
    let info = session.get_session_info().map_err(call(operation))?;
    match info.session_state() {
        SessionState::RoUser | SessionState::RwUser => Ok(()),
        _ => {
            let code = "the session's login is lost (CKR_USER_NOT_LOGGED_IN)";
            Err(returned(operation, code.to_owned(), CKR_USER_NOT_LOGGED_IN))
        }
    }
}

/// The one object of that class and label.
pub(super) fn one(
    session: &Session,
    class: ObjectClass,
    label: &str,
) -> Result<ObjectHandle, TokenError> {
    let found = while_logged_in(session, || find(session, class, label))?;
    let label = label.to_owned();
    match found[..] {
        [key] => Ok(key),
        [] => Err(TokenError::MissingKey { label }),
        ref keys => Err(TokenError::AmbiguousKey {
            label,
            count: keys.len(),
        }),
    }
}

/// Refuses a key that could leave the token: invariant 1 would hold in name only.
fn safe(session: &Session, key: ObjectHandle, label: &str) -> Result<(), TokenError> {
    let wanted = [AttributeType::Sensitive, AttributeType::Extractable];
    let attributes = session
        .get_attributes(key, &wanted)
        .map_err(call("read a key's attributes"))?;
    let why = if !attributes.contains(&Attribute::Sensitive(true)) {
        "is not sensitive (CKA_SENSITIVE)"
    } else if !attributes.contains(&Attribute::Extractable(false)) {
        "can be extracted (CKA_EXTRACTABLE)"
    } else {
        return Ok(());
    };
    Err(TokenError::UnsafeKey {
        label: label.to_owned(),
        why: why.into(),
    })
}
