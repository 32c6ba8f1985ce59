//! Creating the keys that a token lacks.

use std::path::Path;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::Session;

use super::error::call;
use super::{AGREEMENT, SIGNING, library, objects};
use crate::group::ids::MasterId;
use crate::hsm::{Pin, Provisioned, TokenError, master_label};

/// The object identifier of P-256, in DER.
pub(super) const P256: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

/// Creates the master and the two key pairs where they are missing.
pub(in crate::hsm) fn provision(
    path: &Path,
    label: &str,
    pin: &Pin,
    master: MasterId,
) -> Result<Provisioned, TokenError> {
    let session = library::session(path, label, pin, true)?;
    let mut created = Vec::new();
    let name = master_label(master);
    if objects::find(&session, ObjectClass::SECRET_KEY, &name)?.is_empty() {
        create_master(&session, master)?;
        created.push(name);
    }
    for name in [AGREEMENT, SIGNING] {
        if objects::find(&session, ObjectClass::PRIVATE_KEY, name)?.is_empty() {
            create_pair(&session, name)?;
            created.push(name.to_owned());
        }
    }
    // What was there already is held to the same rules as what was made.
    objects::master(&session, master)?;
    objects::private_key(&session, AGREEMENT)?;
    objects::private_key(&session, SIGNING)?;
    let issuer = objects::issuer(&session)?;
    tracing::info!(token = label, ?created, "token provisioned");
    Ok(Provisioned { created, issuer })
}

fn create_master(session: &Session, master: MasterId) -> Result<(), TokenError> {
    let mut template = objects::secret_key(true, false, false);
    template.extend([
        Attribute::Token(true),
        Attribute::Extractable(false),
        Attribute::Label(master_label(master).into_bytes()),
        Attribute::Id(master.0.to_be_bytes().to_vec()),
    ]);
    session
        .generate_key(&Mechanism::AesKeyGen, &template)
        .map_err(call("create a master key"))?;
    Ok(())
}

fn create_pair(session: &Session, label: &str) -> Result<(), TokenError> {
    let signs = label == SIGNING;
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::KeyType(KeyType::EC),
        Attribute::EcParams(P256.to_vec()),
        Attribute::Verify(signs),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(label.as_bytes().to_vec()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::KeyType(KeyType::EC),
        Attribute::Sign(signs),
        Attribute::Derive(!signs),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(label.as_bytes().to_vec()),
    ];
    session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .map_err(call("create a key pair"))?;
    Ok(())
}
