//! The few messages of etcd's API (`rpc.proto`, `kv.proto`) that a put and a watch need, in protobuf's wire format.

/// How a field's value is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// `PutRequest { key = 1, value = 2 }`
pub(super) fn put(key: &[u8], value: &[u8]) -> Vec<u8> {
    [field(1, key), field(2, value)].concat()
}

/// `WatchRequest { create_request = 1: WatchCreateRequest { key = 1 } }`
pub(super) fn watch(key: &[u8]) -> Vec<u8> {
    field(1, &field(1, key))
}

/// Whether it is a `WatchResponse { created = 3 }` that is not canceled (4) at the same time.
pub(super) fn is_created(message: &[u8]) -> bool {
    let is_set = |wanted| {
        let mut fields = Fields(message);
        fields.any(|(number, value)| number == wanted && matches!(value, Value::Number(1)))
    };
    is_set(3) && !is_set(4)
}

/// The values of `WatchResponse { events = 11: Event { kv = 2: KeyValue { value = 5 } } }`
pub(super) fn values(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let events = inner(message, 11);
    let pairs = events.flat_map(|event| inner(event, 2));
    pairs.flat_map(|pair| inner(pair, 5))
}

fn inner(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, by number. What cannot be read ends it.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            VARINT => Value::Number(self.varint()?),
            FIXED64 => Value::Bytes(self.bytes(8)?),
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            FIXED32 => Value::Bytes(self.bytes(4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << place;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut field = varint(number << 3 | BYTES);
    field.extend(varint(bytes.len() as u64));
    field.extend_from_slice(bytes);
    field
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_protoc_writes_them() {
        assert_eq!(put(b"k", b"vw"), b"\x0a\x01k\x12\x02vw");
        assert_eq!(watch(b"k"), b"\x0a\x03\x0a\x01k");
        assert_eq!(put(b"k", &[0; 300])[3..6], [0x12, 0xac, 2]);
    }

    #[test]
    fn values_are_found_among_other_fields() {
        let pair = [field(1, b"k"), vec![0x18, 0x96, 1], field(5, b"value")].concat();
        let event = field(11, &field(2, &pair));
        let message = [field(1, b"header"), event.clone(), event].concat();
        let found: Vec<&[u8]> = values(&message).collect();
        assert_eq!(found, [b"value", b"value"]);
        assert!(!is_created(&message));
        assert_eq!(values(&message[..message.len() - 1]).count(), 1);
    }

    #[test]
    fn a_created_watch_says_so() {
        assert!(is_created(&[0x18, 1]));
        assert!(!is_created(&[0x18, 1, 0x20, 1]));
        assert!(!is_created(&[0x18, 0]));
        assert!(!is_created(&[]));
    }
}
