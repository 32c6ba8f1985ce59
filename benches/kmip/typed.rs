//! The same messages as types of serde's, which is what the crate kmip-ttlv reads and writes.

use std::hint::black_box;

use serde::{Deserialize, Serialize};

/// A message of either kind.
pub(crate) trait Message {
    fn encode(&self) -> Vec<u8>;
    fn decode(&self, bytes: &[u8]);
}

/// The message of these bytes.
pub(crate) fn of(bytes: &[u8]) -> Box<dyn Message> {
    match bytes[2] {
        0x78 => Box::new(kmip_ttlv::from_slice::<RequestMessage>(bytes).expect("a request")),
        _ => Box::new(kmip_ttlv::from_slice::<ResponseMessage>(bytes).expect("an answer")),
    }
}

impl Message for RequestMessage {
    fn encode(&self) -> Vec<u8> {
        kmip_ttlv::to_vec(self).expect("a request is written")
    }

    fn decode(&self, bytes: &[u8]) {
        drop(black_box(
            kmip_ttlv::from_slice::<Self>(bytes).expect("a request"),
        ));
    }
}

impl Message for ResponseMessage {
    fn encode(&self) -> Vec<u8> {
        kmip_ttlv::to_vec(self).expect("an answer is written")
    }

    fn decode(&self, bytes: &[u8]) {
        drop(black_box(
            kmip_ttlv::from_slice::<Self>(bytes).expect("an answer"),
        ));
    }
}

/// To kmip-ttlv a value that is no structure has its tag from a type of its own.
macro_rules! scalars {
    ($($(#[$meta:meta])* $name:ident $of:ty = $tag:literal,)*) => {$(
        #[derive(Serialize, Deserialize)]
        #[serde(rename = $tag)]
        struct $name($(#[$meta])* $of);
    )*};
}

scalars! {
    Major i32 = "Transparent:0x42006A",
    Minor i32 = "Transparent:0x42006B",
    #[serde(with = "date")] TimeStamp i64 = "Transparent:0x420092",
    BatchCount i32 = "Transparent:0x42000D",
    UniqueIdentifier String = "Transparent:0x420094",
    Length i32 = "Transparent:0x42002A",
    #[serde(with = "octets")] KeyMaterial Vec<u8> = "Transparent:0x420043",
    AttributeName String = "Transparent:0x42000A",
    NameValue String = "Transparent:0x420055",
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420069")]
struct ProtocolVersion {
    #[serde(rename = "0x42006A")]
    major: Major,
    #[serde(rename = "0x42006B")]
    minor: Minor,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42007B")]
struct ResponseMessage {
    #[serde(rename = "0x42007A")]
    header: ResponseHeader,
    #[serde(rename = "0x42000F")]
    items: Vec<Got>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42007A")]
struct ResponseHeader {
    #[serde(rename = "0x420069")]
    version: ProtocolVersion,
    #[serde(rename = "0x420092")]
    time: TimeStamp,
    #[serde(rename = "0x42000D")]
    count: BatchCount,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42000F")]
struct Got {
    #[serde(rename = "0x42005C")]
    operation: Operation,
    #[serde(rename = "0x42007F")]
    status: ResultStatus,
    #[serde(rename = "0x42007C")]
    payload: GotPayload,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42007C")]
struct GotPayload {
    #[serde(rename = "0x420057")]
    object: ObjectType,
    #[serde(rename = "0x420094")]
    identifier: UniqueIdentifier,
    #[serde(rename = "0x42008F")]
    key: SymmetricKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42008F")]
struct SymmetricKey {
    #[serde(rename = "0x420040")]
    block: KeyBlock,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420040")]
struct KeyBlock {
    #[serde(rename = "0x420042")]
    format: KeyFormat,
    #[serde(rename = "0x420045")]
    value: KeyValue,
    #[serde(rename = "0x420028")]
    algorithm: Algorithm,
    #[serde(rename = "0x42002A")]
    length: Length,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420045")]
struct KeyValue {
    #[serde(rename = "0x420043")]
    material: KeyMaterial,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420078")]
struct RequestMessage {
    #[serde(rename = "0x420077")]
    header: RequestHeader,
    #[serde(rename = "0x42000F")]
    items: Vec<Asked>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420077")]
struct RequestHeader {
    #[serde(rename = "0x420069")]
    version: ProtocolVersion,
    #[serde(rename = "0x42000D")]
    count: BatchCount,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42000F")]
struct Asked {
    #[serde(rename = "0x42005C")]
    operation: Operation,
    #[serde(rename = "0x420079")]
    payload: AskedPayload,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420079")]
struct AskedPayload {
    #[serde(rename = "0x420057")]
    object: ObjectType,
    #[serde(rename = "0x420091")]
    template: Template,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420091")]
struct Template {
    #[serde(rename = "0x420008")]
    attributes: Vec<Attribute>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420008")]
struct Attribute {
    #[serde(rename = "0x42000A")]
    name: AttributeName,
    #[serde(rename = "0x42000B")]
    value: AttributeValue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Override:0x42000B")]
enum AttributeValue {
    #[serde(rename(
        serialize = "Transparent",
        deserialize = "if 0x42000A==Cryptographic Algorithm"
    ))]
    Algorithm(Algorithm),
    #[serde(rename(
        serialize = "Transparent",
        deserialize = "if 0x42000A in [Cryptographic Length, Cryptographic Usage Mask]"
    ))]
    Number(i32),
    #[serde(rename(serialize = "Transparent", deserialize = "if 0x42000A==Name"))]
    Name(Name),
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42000B")]
struct Name {
    #[serde(rename = "0x420055")]
    value: NameValue,
    #[serde(rename = "0x420054")]
    kind: NameType,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42005C")]
enum Operation {
    #[serde(rename = "0x00000001")]
    Create,
    #[serde(rename = "0x0000000A")]
    Get,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x42007F")]
enum ResultStatus {
    #[serde(rename = "0x00000000")]
    Success,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420057")]
enum ObjectType {
    #[serde(rename = "0x00000002")]
    SymmetricKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420042")]
enum KeyFormat {
    #[serde(rename = "0x00000001")]
    Raw,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420028")]
enum Algorithm {
    #[serde(rename = "0x00000003")]
    Aes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "0x420054")]
enum NameType {
    #[serde(rename = "0x00000001")]
    UninterpretedTextString,
}

/// To kmip-ttlv a date is a u64 when it is written.
mod date {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.cast_unsigned())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        i64::deserialize(deserializer)
    }
}

/// Bytes as a byte string, not as a list of numbers.
mod octets {
    use serde::de::Visitor;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Octets)
    }

    struct Octets;

    impl Visitor<'_> for Octets {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("bytes")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}
