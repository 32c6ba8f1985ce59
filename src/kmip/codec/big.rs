//! Big integers: two's complement, most significant byte first, in whole groups of eight bytes.

use std::fmt;

use super::item::ByteString;

/// The unit of a big integer's length, in bytes.
pub(super) const GROUP: usize = 8;

/// An integer of any length. It may be part of a private key, so it is overwritten when dropped and never printed.
///
/// The number of bytes is kept as it came: there may be more than the number needs. Two that differ in that alone are
/// not equal.
#[derive(Clone, PartialEq, Eq)]
pub struct BigInteger(ByteString);

impl BigInteger {
    /// The integer of bytes in two's complement, most significant first, extended to whole groups of eight. None of no bytes.
    #[must_use]
    pub fn from_signed(bytes: &[u8]) -> Option<Self> {
        let fill = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
        let missing = bytes.len().next_multiple_of(GROUP) - bytes.len();
        Some(Self::extended(fill, missing, bytes))
    }

    /// The integer of the bytes of a number that is not negative, such as a modulus. None of no bytes.
    #[must_use]
    pub fn from_unsigned(bytes: &[u8]) -> Option<Self> {
        let least = bytes.len() + usize::from(bytes.first()? & 0x80 != 0);
        let missing = least.next_multiple_of(GROUP) - bytes.len();
        Some(Self::extended(0, missing, bytes))
    }

    fn extended(fill: u8, missing: usize, bytes: &[u8]) -> Self {
        // Written once in its place: a vector that grows would leave copies behind.
        let mut whole = Vec::with_capacity(missing + bytes.len());
        whole.resize(missing, fill);
        whole.extend_from_slice(bytes);
        Self(whole.into())
    }

    /// Two's complement, most significant byte first: whole groups of eight, one at least.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The number, if it is of eight bytes.
    pub(super) fn of_one_group(&self) -> Option<i64> {
        self.as_bytes().try_into().ok().map(i64::from_be_bytes)
    }
}

impl From<i64> for BigInteger {
    fn from(number: i64) -> Self {
        Self(number.to_be_bytes().as_slice().into())
    }
}

impl fmt::Debug for BigInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_extended() {
        let of = |bytes: &[u8]| BigInteger::from_signed(bytes).map(|n| n.as_bytes().to_vec());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[1]), Some(vec![0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(
            of(&[0x80]),
            Some(vec![255, 255, 255, 255, 255, 255, 255, 128])
        );
        assert_eq!(of(&[0; 8]), Some(vec![0; 8]));
        assert_eq!(of(&[0x7f; 9]).map(|bytes| bytes.len()), Some(16));
    }

    #[test]
    fn numbers_that_are_not_negative_stay_so() {
        let of = |bytes: &[u8]| BigInteger::from_unsigned(bytes).map(|n| n.as_bytes().to_vec());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[0x80]), Some(vec![0, 0, 0, 0, 0, 0, 0, 0x80]));
        let long = of(&[0x80, 0, 0, 0, 0, 0, 0, 1]).expect("bytes");
        assert_eq!(long, [[0; 8], [0x80, 0, 0, 0, 0, 0, 0, 1]].concat());
    }

    #[test]
    fn small_numbers_are_numbers() {
        for number in [0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(BigInteger::from(number).of_one_group(), Some(number));
        }
        assert_eq!(
            BigInteger::from_signed(&[0; 9]).and_then(|n| n.of_one_group()),
            None
        );
    }
}
