//! Encoders of fields that need one of their own: shared byte strings, a group's name.

/// A CBOR byte string as [`bytes::Bytes`].
pub(in crate::group) mod octets {
    use bytes::Bytes;
    use minicbor::decode::{Decoder, Error as DecodeError};
    use minicbor::encode::{Encoder, Error as EncodeError, Write};

    pub(in crate::group) fn encode<C, W: Write>(
        octets: &Bytes,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(octets)?.ok()
    }

    pub(in crate::group) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Bytes, DecodeError> {
        d.bytes().map(Bytes::copy_from_slice)
    }
}

/// A group's name: text of 1 to [`MAX_GROUP_NAME`](crate::group::limits::MAX_GROUP_NAME) bytes.
pub(super) mod group_name {
    use minicbor::decode::{Decoder, Error as DecodeError};
    use minicbor::encode::{Encoder, Error as EncodeError, Write};

    use super::super::codec::refuse;
    use crate::group::limits::MAX_GROUP_NAME;

    pub(in super::super) fn encode<C, W: Write>(
        name: &str,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.str(name)?.ok()
    }

    pub(in super::super) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<String, DecodeError> {
        let at = d.position();
        match d.str()? {
            "" => Err(refuse("a group's name is not empty", at)),
            name if name.len() > MAX_GROUP_NAME => {
                Err(refuse("a group's name is at most 128 bytes", at))
            }
            name => Ok(name.to_owned()),
        }
    }
}
