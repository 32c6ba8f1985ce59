//! Keys for escrow, as objects of the store: wrapped under a key that it has too.

use tokio::sync::OnceCell;

use super::locate;
use crate::group::operations;
use crate::kmip::client::{Client, KeyWrapping, WrappedKey};
use crate::kmip::codec::{ByteString, values};
use crate::relay::SinkError;

/// The length of a root key, in bits.
const BITS: i32 = 256;

/// The key that roots are wrapped under, as the store knows it.
pub(super) struct EscrowKey {
    label: String,
    /// Its identifier there, once it was found by its name.
    id: OnceCell<String>,
}

impl EscrowKey {
    pub(super) fn new(label: String) -> Self {
        EscrowKey {
            label,
            id: OnceCell::new(),
        }
    }

    /// What the store is told that a key is wrapped under: the identifier of the object that has the label as its name, by which the
    /// store finds it where it is to unwrap; the label itself where this gateway sees no such object.
    pub(super) async fn id(&self, client: &Client) -> Result<String, SinkError> {
        if let Some(id) = self.id.get() {
            return Ok(id.clone());
        }
        let found = locate::all(client, &[&self.label]).await?;
        let ids = found.into_iter().flat_map(|(_, ids)| ids);
        let ids: Vec<String> = ids.collect();
        let [id] = &ids[..] else {
            if ids.len() > 1 {
                tracing::error!(
                    name = self.label,
                    ?ids,
                    "several objects upstream have the escrow key's name: keys for escrow name it by that"
                );
            }
            return Ok(self.label.clone());
        };
        let id = self.id.get_or_init(|| async { id.clone() }).await;
        Ok(id.clone())
    }
}

/// A root key that was wrapped under the key of this identifier.
pub(super) fn object(wrapped: &operations::WrappedKey, under: &str) -> WrappedKey {
    WrappedKey {
        format: values::KeyFormatType::Raw,
        algorithm: values::CryptographicAlgorithm::AES,
        length: BITS,
        wrapping: KeyWrapping {
            method: values::WrappingMethod::Encrypt,
            unique_identifier: under.to_owned(),
            block_cipher_mode: values::BlockCipherMode::NISTKeyWrap,
            algorithm: Some(values::CryptographicAlgorithm::AES),
            encoding: values::EncodingOption::NoEncoding,
        },
        material: ByteString::from(wrapped.as_slice()),
    }
}
