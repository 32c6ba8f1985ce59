//! What a token is and which mechanisms it has, asked once a session.

use cryptoki::mechanism::MechanismType;
use cryptoki::slot::Slot;

use super::error::call;
use super::library::Library;
use crate::hsm::TokenError;

/// What suite 1 cannot do without.
const NEEDED: [MechanismType; 5] = [
    MechanismType::AES_CBC_ENCRYPT_DATA,
    MechanismType::AES_KEY_WRAP,
    MechanismType::ECDH1_DERIVE,
    MechanismType::ECDSA,
    MechanismType::AES_CMAC,
];
/// What suite 2 needs besides.
pub(super) const WANTED: [MechanismType; 4] = [
    MechanismType::HKDF_DERIVE,
    MechanismType::CONCATENATE_BASE_AND_KEY,
    MechanismType::ML_KEM,
    MechanismType::ML_DSA,
];
/// What the keys of suite 2 are generated with.
pub(super) const GENERATION: [MechanismType; 3] = [
    MechanismType::ML_DSA_KEY_PAIR_GEN,
    MechanismType::ECC_MONTGOMERY_KEY_PAIR_GEN,
    MechanismType::GENERIC_SECRET_KEY_GEN,
];

/// What was found.
pub(super) struct Probed {
    /// Library, token and firmware.
    pub(super) description: String,
    /// Those of the mechanisms above that the token lists.
    pub(super) mechanisms: Vec<String>,
}

/// Which of these mechanisms the token does not list.
pub(super) fn lacking(
    library: &Library,
    slot: Slot,
    wanted: &[MechanismType],
) -> Result<Vec<String>, TokenError> {
    let listed = library.pkcs11.get_mechanism_list(slot);
    let listed = listed.map_err(call("list the token's mechanisms"))?;
    let lacking = wanted.iter().filter(|wanted| !listed.contains(wanted));
    Ok(lacking.map(ToString::to_string).collect())
}

/// Asks the token; refuses one that cannot do suite 1.
pub(super) fn probe(library: &Library, slot: Slot, label: &str) -> Result<Probed, TokenError> {
    let pkcs11 = &library.pkcs11;
    let listed = pkcs11.get_mechanism_list(slot);
    let listed = listed.map_err(call("list the token's mechanisms"))?;
    complete(label, &listed)?;
    let known = NEEDED.iter().chain(&WANTED);
    let known = known.filter(|mechanism| listed.contains(mechanism));
    let mechanisms: Vec<String> = known.map(ToString::to_string).collect();
    for mechanism in listed
        .iter()
        .filter(|m| mechanisms.contains(&m.to_string()))
    {
        if let Ok(info) = pkcs11.get_mechanism_info(slot, *mechanism) {
            let (least, most) = (info.min_key_size(), info.max_key_size());
            tracing::debug!(%mechanism, least, most, hardware = info.hardware(), "key sizes");
        }
    }
    let token = pkcs11.get_token_info(slot);
    let token = token.map_err(call("describe the token"))?;
    let module = pkcs11.get_library_info();
    let module = module.map_err(call("describe the library"))?;
    let description = format!(
        "{} {} (library {}, firmware {}, {} {})",
        token.manufacturer_id().trim(),
        token.model().trim(),
        module.library_version(),
        token.firmware_version(),
        module.manufacturer_id().trim(),
        module.library_description().trim(),
    );
    Ok(Probed {
        description,
        mechanisms,
    })
}

fn complete(label: &str, listed: &[MechanismType]) -> Result<(), TokenError> {
    match NEEDED.iter().find(|needed| !listed.contains(needed)) {
        None => Ok(()),
        Some(missing) => Err(TokenError::NoMechanism {
            token: label.to_owned(),
            mechanism: missing.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hsm::conformance::softhsm::in_child;
    use crate::hsm::{ErrorClass, open, provision};

    #[test]
    fn a_token_without_a_mechanism_of_suite_1_is_refused_by_its_name() {
        for missing in NEEDED {
            let mut listed = [NEEDED.to_vec(), WANTED.to_vec()].concat();
            assert_eq!(complete("token", &listed), Ok(()));
            listed.retain(|mechanism| *mechanism != missing);
            let refused = complete("token", &listed).expect_err("lacks one");
            let text = refused.to_string();
            assert!(text.contains(&missing.to_string()), "{text}");
            assert!(text.contains("CKM_"), "{text}");
            assert_eq!(refused.class(), ErrorClass::Fatal);
        }
    }

    #[test]
    fn softhsm_says_what_it_is_and_can() {
        let test = "hsm::pkcs11::probe::tests::softhsm_says_what_it_is_and_can";
        in_child(test, 1, |config| {
            provision(config).expect("provisions");
            let token = open(config).and_then(|opener| opener()).expect("opens");
            let profile = token.profile();
            assert_eq!(
                profile.mechanisms,
                [
                    "CKM_AES_CBC_ENCRYPT_DATA",
                    "CKM_AES_KEY_WRAP",
                    "CKM_ECDH1_DERIVE",
                    "CKM_ECDSA",
                    "CKM_AES_CMAC"
                ]
            );
            assert!(profile.description.contains("SoftHSM"), "{profile:?}");
        });
    }
}
