//! Creating the keys of suite 2 in a token that can use them, or taking in keys that were made for several tokens.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, MlDsaParameterSetType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::super::error::call;
use super::super::library::Opened;
use super::super::provision::{create, drop_orphans, finish};
use super::super::{AGREEMENT, SIGNING, objects, probe, ring};
use super::{find, selftest};
use crate::crypto::{MlDsaKey, X25519Key};
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::Issuer;
use crate::hsm::shared::SuiteKeys;
use crate::hsm::{TokenError, master_label, suite_label};

/// The object identifier of X25519 (RFC 8410), in DER.
const X25519: [u8; 5] = [0x06, 0x03, 0x2B, 0x65, 0x6E];

/// Creates what the token lacks of suite 2, for every master that it has; `None` where the token cannot do it.
pub(in super::super) fn provision(
    opened: &Opened,
    token: &str,
    created: &mut Vec<String>,
) -> Result<Option<Issuer>, TokenError> {
    if !usable(opened, token)? {
        return Ok(None);
    }
    let session = &opened.session;
    for signs in [false, true] {
        let name = pair_label(signs);
        if objects::find(session, ObjectClass::PRIVATE_KEY, &name)?.is_empty() {
            drop_orphans(session, &name)?;
            finish(session, &name, |label| {
                generate_pair(session, label, signs, true)
            })?;
            created.push(name);
        }
    }
    for id in ring::masters(session)? {
        created.extend(create_master(session, id)?);
    }
    issuer(session)
}

/// Puts keys of suite 2 into the token that were made outside of it.
pub(in super::super) fn import(
    session: &Session,
    master: MasterId,
    keys: &SuiteKeys,
    created: &mut Vec<String>,
) -> Result<Option<Issuer>, TokenError> {
    let name = suite_label(Suite::Two, &master_label(master));
    finish(session, &name, |label| {
        let mut template = master_template(label, true);
        template.retain(|attribute| !matches!(attribute, Attribute::ValueLen(_)));
        template.push(Attribute::Value(keys.master.as_bytes().to_vec()));
        Ok(vec![create(session, template)?])
    })?;
    created.push(name);
    for signs in [false, true] {
        let name = pair_label(signs);
        drop_orphans(session, &name)?;
        finish(session, &name, |label| {
            import_pair(session, label, signs, keys)
        })?;
        created.push(name);
    }
    issuer(session)
}

/// Looks at the keys that the token has, and makes none.
pub(in super::super) fn issuer(session: &Session) -> Result<Option<Issuer>, TokenError> {
    Ok(find(session, &[])?.ok().map(|found| found.issuer))
}

/// Whether the token can do what suite 2 needs, tried out with keys of this session; says in the log why not.
pub(in super::super) fn usable(opened: &Opened, token: &str) -> Result<bool, TokenError> {
    let wanted = [&probe::WANTED[..], &probe::GENERATION].concat();
    let lacking = probe::lacking(&opened.library, opened.slot, &wanted)?;
    if !lacking.is_empty() {
        tracing::info!(
            token,
            lacking = lacking.join(", "),
            "the token does not have suite 2"
        );
        return Ok(false);
    }
    let passed = selftest::run(opened);
    if let Err(why) = &passed {
        tracing::warn!(token, %why, "the token lists the mechanisms of suite 2, but they do not work: it is left out");
    }
    Ok(passed.is_ok())
}

/// Creates the master's half of suite 2 where it is missing and the token has the suite; answers with its label.
pub(in super::super) fn create_master(
    session: &Session,
    id: MasterId,
) -> Result<Option<String>, TokenError> {
    let name = suite_label(Suite::Two, &master_label(id));
    let has_suite = objects::find(session, ObjectClass::PRIVATE_KEY, &pair_label(true))?;
    let master = objects::find(session, ObjectClass::SECRET_KEY, &name)?;
    if has_suite.is_empty() || !master.is_empty() {
        return Ok(None);
    }
    finish(session, &name, |label| {
        Ok(vec![generate_master(session, label, true)?])
    })?;
    Ok(Some(name))
}

fn pair_label(signs: bool) -> String {
    suite_label(Suite::Two, if signs { SIGNING } else { AGREEMENT })
}

pub(super) fn generate_master(
    session: &Session,
    label: &[u8],
    stays: bool,
) -> Result<ObjectHandle, TokenError> {
    session
        .generate_key(
            &Mechanism::GenericSecretKeyGen,
            &master_template(label, stays),
        )
        .map_err(call("create a master key of suite 2"))
}

fn master_template(label: &[u8], stays: bool) -> Vec<Attribute> {
    let mut template = objects::secret_key(KeyType::GENERIC_SECRET, true, false, false);
    template.extend([
        Attribute::Token(stays),
        Attribute::Extractable(false),
        Attribute::Label(label.to_vec()),
    ]);
    template
}

/// The public half, then the private half.
pub(super) fn generate_pair(
    session: &Session,
    label: &[u8],
    signs: bool,
    stays: bool,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let mechanism = match signs {
        true => Mechanism::MlDsaKeyPairGen,
        false => Mechanism::EccMontgomeryKeyPairGen,
    };
    let (mut public, private) = pair(label, signs, stays);
    public.push(parameters(signs));
    session
        .generate_key_pair(&mechanism, &public, &private)
        .map(|(public, private)| vec![public, private])
        .map_err(call("create a key pair of suite 2"))
}

fn import_pair(
    session: &Session,
    label: &[u8],
    signs: bool,
    keys: &SuiteKeys,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let (mut public, mut private) = pair(label, signs, true);
    public.push(parameters(signs));
    private.push(parameters(signs));
    if signs {
        let key = MlDsaKey::from_seed(&keys.issuer.signing);
        public.push(Attribute::Value(key.public().to_vec()));
        private.push(Attribute::Seed(keys.issuer.signing.to_vec()));
    } else {
        let key = X25519Key::from_private(&keys.issuer.agreement);
        public.push(Attribute::EcPoint(key.public().to_vec()));
        private.push(Attribute::Value(keys.issuer.agreement.to_vec()));
    }
    Ok(vec![create(session, public)?, create(session, private)?])
}

/// The curve, or the parameter set.
fn parameters(signs: bool) -> Attribute {
    match signs {
        true => Attribute::ParameterSet(MlDsaParameterSetType::ML_DSA_65.into()),
        false => Attribute::EcParams(X25519.to_vec()),
    }
}

/// The templates of a key pair but for its parameters: the public half, the private half.
fn pair(label: &[u8], signs: bool, stays: bool) -> (Vec<Attribute>, Vec<Attribute>) {
    let both = |class| {
        vec![
            Attribute::Class(class),
            Attribute::Token(stays),
            Attribute::KeyType(match signs {
                true => KeyType::ML_DSA,
                false => KeyType::EC_MONTGOMERY,
            }),
            Attribute::Label(label.to_vec()),
            Attribute::Id(pair_label(signs).into_bytes()),
        ]
    };
    objects::halves(both, signs)
}
