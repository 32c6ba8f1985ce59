//! Objects of a token: those that stay, found by label, and those derived for a batch, which destroy themselves.

use std::cell::Cell;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::ekdf::AesCbcDeriveParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::error::{call, code};
use super::{AGREEMENT, SIGNING};
use crate::group::ids::MasterId;
use crate::group::operations::{Issuer, PublicKey};
use crate::hsm::{TokenError, master_label};

/// What a derived key may do; nothing else is allowed to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Derives node keys.
    Seed,
    /// Derives, wraps and is wrapped.
    Node,
    /// Computes tags.
    Confirm,
    /// What ECDH gave: derives a kek.
    Agreed,
    /// Wraps one leaf key.
    Kek,
}

impl Purpose {
    fn template(self) -> Vec<Attribute> {
        let mut template = secret_key(
            matches!(self, Purpose::Seed | Purpose::Node | Purpose::Agreed),
            matches!(self, Purpose::Node | Purpose::Kek),
            self == Purpose::Confirm,
        );
        template.push(Attribute::Token(false));
        template.push(Attribute::Extractable(self == Purpose::Node));
        template
    }
}

/// An AES-256 key that stays in the token but for a wrap; says of every use whether it is allowed.
pub(super) fn secret_key(derive: bool, wrap: bool, sign: bool) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
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

/// Where a batch's keys are made.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) session: &'a Session,
    /// Set when a key could not be destroyed.
    pub(super) worn: &'a Cell<bool>,
}

impl<'a> Desk<'a> {
    /// `CBC(base, data)` of suite 1.
    pub(super) fn derive(
        &self,
        operation: &'static str,
        base: ObjectHandle,
        data: &[u8; 32],
        purpose: Purpose,
    ) -> Result<Held<'a>, TokenError> {
        let mechanism = Mechanism::AesCbcEncryptData(AesCbcDeriveParams::new([0; 16], data));
        self.make(operation, base, &mechanism, purpose)
    }

    /// Derives a session key.
    pub(super) fn make(
        &self,
        operation: &'static str,
        base: ObjectHandle,
        mechanism: &Mechanism<'_>,
        purpose: Purpose,
    ) -> Result<Held<'a>, TokenError> {
        let handle = self
            .session
            .derive_key(mechanism, base, &purpose.template())
            .map_err(call(operation))?;
        Ok(Held {
            desk: *self,
            handle,
        })
    }
}

/// A session object, destroyed when dropped.
pub(super) struct Held<'a> {
    desk: Desk<'a>,
    handle: ObjectHandle,
}

impl Held<'_> {
    pub(super) fn handle(&self) -> ObjectHandle {
        self.handle
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.desk.session.destroy_object(self.handle) {
            tracing::error!(code = code(&error), "a derived key could not be destroyed");
            self.desk.worn.set(true);
        }
    }
}

/// The master key of that id.
pub(super) fn master(session: &Session, id: MasterId) -> Result<ObjectHandle, TokenError> {
    let label = master_label(id);
    let master = one(session, ObjectClass::SECRET_KEY, &label)?;
    safe(session, master, &label)?;
    Ok(master)
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
        signing: public_key(session, SIGNING)?,
        agreement: public_key(session, AGREEMENT)?,
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
            why: "is not on P-256",
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

fn one(session: &Session, class: ObjectClass, label: &str) -> Result<ObjectHandle, TokenError> {
    let label = label.to_owned();
    match find(session, class, &label)?[..] {
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
        why,
    })
}
