//! Creating the keys that a token lacks, or taking in keys that were made for several tokens.

use std::path::Path;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroize;

use super::error::{call, code};
use super::{hygiene, library, objects, suite2};
use crate::crypto::Key;
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::{Issuer, Issuers, PublicKey};
use crate::hsm::shared::SharedKeys;
use crate::hsm::{AGREEMENT, Pin, Provisioned, SIGNING, TokenError, master_label, suite_label};

/// The object identifier of P-256, in DER.
pub(super) const P256: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

/// Creates the master and the two key pairs where they are missing.
pub(in crate::hsm) fn provision(
    path: &Path,
    label: &str,
    pin: &Pin,
    master: MasterId,
) -> Result<Provisioned, TokenError> {
    let opened = writer(path, label, pin)?;
    let session = &opened.session;
    let mut created = Vec::new();
    let name = master_label(master);
    if objects::find(session, ObjectClass::SECRET_KEY, &name)?.is_empty() {
        create_master(session, master)?;
        created.push(name);
    }
    for name in [AGREEMENT, SIGNING] {
        if objects::find(session, ObjectClass::PRIVATE_KEY, name)?.is_empty() {
            create_pair(session, name)?;
            created.push(name.to_owned());
        }
    }
    let two = suite2::provision::provision(&opened, label, &mut created)?;
    finished(session, label, master, (created, two))
}

/// Looks at the keys that there are, and makes none.
pub(in crate::hsm) fn complete(
    path: &Path,
    label: &str,
    pin: &Pin,
    master: MasterId,
) -> Result<Provisioned, TokenError> {
    let session = library::open(path, label, pin, false)?.session;
    let two = suite2::provision::issuer(&session)?;
    finished(&session, label, master, (Vec::new(), two))
}

/// Whether the token can do what suite 2 needs.
pub(in crate::hsm) fn has_suite_2(path: &Path, label: &str, pin: &Pin) -> Result<bool, TokenError> {
    suite2::provision::usable(&library::open(path, label, pin, true)?, label)
}

/// A session that may write, in a token from which is gone what an earlier attempt left unfinished.
fn writer(path: &Path, label: &str, pin: &Pin) -> Result<library::Opened, TokenError> {
    let opened = library::open(path, label, pin, true)?;
    hygiene::sweep(&opened.library, opened.slot);
    Ok(opened)
}

/// Which of its keys the token has, by label.
pub(in crate::hsm) fn existing(
    path: &Path,
    label: &str,
    pin: &Pin,
    master: MasterId,
) -> Result<Vec<String>, TokenError> {
    let session = library::open(path, label, pin, false)?.session;
    let name = master_label(master);
    let wanted = Suite::ALL.into_iter().flat_map(|suite| {
        let labels = [
            (ObjectClass::SECRET_KEY, name.as_str()),
            (ObjectClass::PRIVATE_KEY, AGREEMENT),
            (ObjectClass::PRIVATE_KEY, SIGNING),
        ];
        labels.map(|(class, label)| (class, suite_label(suite, label)))
    });
    let mut found = Vec::new();
    for (class, label) in wanted {
        if !objects::find(&session, class, &label)?.is_empty() {
            found.push(label);
        }
    }
    Ok(found)
}

/// Puts keys into the token that were made outside of it.
pub(in crate::hsm) fn import(
    path: &Path,
    label: &str,
    pin: &Pin,
    master: MasterId,
    keys: &SharedKeys,
) -> Result<Provisioned, TokenError> {
    let opened = writer(path, label, pin)?;
    let session = &opened.session;
    let name = master_label(master);
    finish(session, &name, |label| {
        Ok(vec![import_master(session, keys, label)?])
    })?;
    for (name, scalar, public) in [
        (
            AGREEMENT,
            &keys.one.issuer.agreement,
            keys.agreement_public(),
        ),
        (SIGNING, &keys.one.issuer.signing, keys.signing_public()),
    ] {
        drop_orphans(session, name)?;
        finish(session, name, |label| {
            import_pair(session, label, name == SIGNING, scalar, &public)
        })?;
    }
    let mut created = vec![name, AGREEMENT.to_owned(), SIGNING.to_owned()];
    let two = match &keys.two {
        Some(keys) => suite2::provision::import(session, master, keys, &mut created)?,
        None => None,
    };
    finished(session, label, master, (created, two))
}

/// What was there already is held to the same rules as what was made.
fn finished(
    session: &Session,
    token: &str,
    master: MasterId,
    (created, two): (Vec<String>, Option<Issuer>),
) -> Result<Provisioned, TokenError> {
    objects::master(session, Suite::One, master)?;
    if two.is_some() {
        objects::master(session, Suite::Two, master)?;
    }
    objects::private_key(session, AGREEMENT)?;
    objects::private_key(session, SIGNING)?;
    let issuers = Issuers {
        one: objects::issuer(session)?,
        two,
    };
    tracing::info!(token, ?created, "token provisioned");
    Ok(Provisioned { created, issuers })
}

/// Makes objects under a label that says that they are unfinished, and gives them their own when all are there. The
/// private half of a pair comes last: it is the one that says whether the pair exists.
pub(super) fn finish(
    session: &Session,
    label: &str,
    make: impl Fn(&[u8]) -> Result<Vec<ObjectHandle>, TokenError>,
) -> Result<(), TokenError> {
    let made = make(&hygiene::unfinished_label(label))?;
    let name = [Attribute::Label(label.as_bytes().to_vec())];
    let mut named = made
        .iter()
        .map(|key| session.update_attributes(*key, &name));
    let Some(error) = named.find_map(Result::err) else {
        return Ok(());
    };
    // Some tokens fix a label when an object is created.
    tracing::warn!(
        label,
        code = code(&error),
        "the token does not rename keys: the key is created under its label at once"
    );
    for key in made {
        session
            .destroy_object(key)
            .map_err(call("destroy an unfinished key"))?;
    }
    make(label.as_bytes()).map(drop)
}

pub(super) fn create_master(session: &Session, master: MasterId) -> Result<(), TokenError> {
    finish(session, &master_label(master), |label| {
        let mut template = objects::secret_key(KeyType::AES, true, false, false);
        template.extend([
            Attribute::Token(true),
            Attribute::Extractable(false),
            Attribute::Label(label.to_vec()),
            Attribute::Id(master.0.to_be_bytes().to_vec()),
        ]);
        let key = session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .map_err(call("create a master key"))?;
        Ok(vec![key])
    })
}

/// Puts the escrow key into the token, or lets it make one where it has none. Answers with whether there was none.
pub(in crate::hsm) fn provision_escrow(
    (path, token): (&Path, &str),
    pin: &Pin,
    label: &str,
    key: Option<&Key>,
) -> Result<bool, TokenError> {
    let opened = writer(path, token, pin)?;
    let session = &opened.session;
    let exists = !objects::find(session, ObjectClass::SECRET_KEY, label)?.is_empty();
    match key {
        Some(_) if exists => {
            return Err(TokenError::KeyExists {
                label: label.to_owned(),
            });
        }
        None if exists => {}
        key => finish(session, label, |label| {
            Ok(vec![make_escrow(session, label, key)?])
        })?,
    }
    // What was there already is held to the same rules as what was made.
    objects::escrow(session, label)?;
    tracing::info!(token, label, made = !exists, "escrow key provisioned");
    Ok(!exists)
}

fn make_escrow(
    session: &Session,
    label: &[u8],
    key: Option<&Key>,
) -> Result<ObjectHandle, TokenError> {
    let mut template = objects::secret_key(KeyType::AES, false, true, false);
    template.extend([
        Attribute::Token(true),
        Attribute::Extractable(false),
        Attribute::Label(label.to_vec()),
    ]);
    let Some(key) = key else {
        let made = session.generate_key(&Mechanism::AesKeyGen, &template);
        return made.map_err(call("create an escrow key"));
    };
    template.retain(|attribute| !matches!(attribute, Attribute::ValueLen(_)));
    template.push(Attribute::Value(key.as_bytes().to_vec()));
    create(session, template)
}

fn create_pair(session: &Session, name: &str) -> Result<(), TokenError> {
    drop_orphans(session, name)?;
    finish(session, name, |label| {
        let (public, private) = pair(label, name == SIGNING);
        let (public, private) = session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(call("create a key pair"))?;
        Ok(vec![public, private])
    })
}

/// A public key whose private half is not there was left by a crash between the two.
pub(super) fn drop_orphans(session: &Session, name: &str) -> Result<(), TokenError> {
    for orphan in objects::find(session, ObjectClass::PUBLIC_KEY, name)? {
        tracing::warn!(label = name, "a public key without its private half goes");
        session
            .destroy_object(orphan)
            .map_err(call("destroy a public key without its private half"))?;
    }
    Ok(())
}

/// The templates of a key pair on P-256: the public half, the private half.
fn pair(label: &[u8], signs: bool) -> (Vec<Attribute>, Vec<Attribute>) {
    let both = |class| {
        vec![
            Attribute::Class(class),
            Attribute::Token(true),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(P256.to_vec()),
            Attribute::Label(label.to_vec()),
            Attribute::Id(match signs {
                true => SIGNING.as_bytes().to_vec(),
                false => AGREEMENT.as_bytes().to_vec(),
            }),
        ]
    };
    let (public, mut private) = objects::halves(both, signs);
    // Generation takes the curve from the public half, and some tokens want it there alone.
    private.retain(|attribute| !matches!(attribute, Attribute::EcParams(_)));
    (public, private)
}

fn import_master(
    session: &Session,
    keys: &SharedKeys,
    label: &[u8],
) -> Result<ObjectHandle, TokenError> {
    let mut template = objects::secret_key(KeyType::AES, true, false, false);
    template.retain(|attribute| !matches!(attribute, Attribute::ValueLen(_)));
    template.extend([
        Attribute::Token(true),
        Attribute::Extractable(false),
        Attribute::Label(label.to_vec()),
        Attribute::Value(keys.one.master.as_bytes().to_vec()),
    ]);
    create(session, template)
}

fn import_pair(
    session: &Session,
    label: &[u8],
    signs: bool,
    scalar: &[u8; 32],
    point: &PublicKey,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let (mut public, mut private) = pair(label, signs);
    // DER: an octet string of 65 bytes.
    let mut der = vec![0x04, 65];
    der.extend_from_slice(point);
    public.push(Attribute::EcPoint(der));
    private.push(Attribute::EcParams(P256.to_vec()));
    private.push(Attribute::Value(scalar.to_vec()));
    let public = create(session, public)?;
    let private = create(session, private)?;
    Ok(vec![public, private])
}

/// Creates an object and erases the copy of its value that the template holds.
pub(super) fn create(
    session: &Session,
    mut template: Vec<Attribute>,
) -> Result<ObjectHandle, TokenError> {
    let created = session.create_object(&template);
    for attribute in &mut template {
        if let Attribute::Value(value) | Attribute::Seed(value) = attribute {
            value.zeroize();
        }
    }
    created.map_err(call("import a key"))
}
