//! Opens the software token's file as its documentation says, to know what must not be found.

use std::path::Path;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::forms::Secret;
use crate::support::PIN;

const MAGIC: &[u8] = b"wardcast software token 2: not an HSM\n";
const TAG: usize = 16;
const DIGEST: usize = 32;

/// What is in it.
pub(crate) struct Opened {
    pub(crate) master: [u8; 32],
    pub(crate) agreement: [u8; 32],
    signing: [u8; 32],
    /// The same three of suite 2.
    suite_2: [[u8; 32]; 3],
    /// What the PIN is stretched to.
    sealing: [u8; 32],
}

impl Opened {
    pub(crate) fn read(path: &Path) -> Self {
        let file = std::fs::read(path).expect("the token's file");
        assert!(file.starts_with(MAGIC), "as documented");
        let body = &file[..file.len() - DIGEST];
        let (head, sealed) = body.split_at(MAGIC.len() + 12 + 16 + 12);
        let (costs, rest) = head[MAGIC.len()..].split_at(12);
        let (salt, nonce) = rest.split_at(16);
        let [memory, passes, lanes] =
            [0, 4, 8].map(|at| u32::from_be_bytes(array(&costs[at..at + 4])));
        let params = Params::new(memory, passes, lanes, Some(32)).expect("costs");
        let mut sealing = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(PIN.as_bytes(), salt, &mut sealing)
            .expect("a stretched PIN");
        let (cipher, tag) = sealed.split_at(sealed.len() - TAG);
        let mut plain = cipher.to_vec();
        let (nonce, tag): ([u8; 12], [u8; TAG]) = (array(nonce), array(tag));
        Aes256Gcm::new((&sealing).into())
            .decrypt_inout_detached(
                &nonce.into(),
                head,
                plain.as_mut_slice().into(),
                &tag.into(),
            )
            .expect("it opens");
        Self {
            agreement: array(&plain[..32]),
            signing: array(&plain[32..64]),
            // The number of masters, and the first one's id and key.
            master: array(&plain[72..104]),
            suite_2: [104, 136, 176].map(|at| array(&plain[at..at + 32])),
            sealing,
        }
    }

    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let [agreement_2, signing_2, master_2] = self.suite_2;
        let named = [
            ("the master key", self.master),
            ("the token's agreement key", self.agreement),
            ("the token's signing key", self.signing),
            ("the token's agreement key of suite 2", agreement_2),
            ("the token's signing key of suite 2", signing_2),
            ("the master key of suite 2", master_2),
            ("the key that seals the token", self.sealing),
        ];
        let keys = named.map(|(what, bytes)| Secret {
            what: what.to_owned(),
            bytes: bytes.to_vec(),
            home: None,
        });
        let pin = Secret {
            what: "the PIN".to_owned(),
            bytes: PIN.as_bytes().to_vec(),
            home: Some("pin"),
        };
        keys.into_iter().chain([pin]).collect()
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as long as documented")
}
