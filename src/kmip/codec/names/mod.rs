//! What numbers are called: tags, enumerations and bit masks, looked up by number or by name at the same small cost.
//!
//! `tag_table` and `value_table` hold one table each; constants, the indexes by number and the hash
//! tables by name are made from them when the crate is compiled.

mod tag_table;
mod value_table;

pub use tag_table::tag;
pub use value_table::values;

use super::item::Tag;

/// Named tags are `0x420000` and a number below this.
const TAG_NUMBERS: usize = 0x180;
/// Places of the hash table of tags' names: a power of two, a third of it taken.
const TAG_SLOTS: usize = 1024;
/// Places of the hash table of values' names: a power of two, a quarter of it taken.
const VALUE_SLOTS: usize = 4096;
/// The longest name of an attribute that is looked up, in bytes: the standard's are shorter.
const MAX_ATTRIBUTE_NAME: usize = 48;

/// Makes constants and a slice of the table of tags.
macro_rules! named_tags {
    ($($number:literal $name:ident,)*) => {
        /// The tags of KMIP 1.0 to 2.1, by the names that JSON and XML give them.
        #[allow(non_upper_case_globals, reason = "names are the standard's, to the letter")]
        pub mod tag {
            use crate::kmip::codec::item::Tag;
            $(
                #[doc = concat!("Tag `", stringify!($name), "`.")]
                pub const $name: Tag = Tag::new(0x42, $number);
            )*
        }
        pub(super) static TAGS: &[(u16, &str)] = &[$(($number, stringify!($name))),*];
    };
}

/// Makes constants and a slice of the table of enumerations and masks.
macro_rules! named_values {
    ($($kind:ident $name:ident [$($user:ident)*] { $($number:literal $value:ident,)* })*) => {
        /// The enumerations and bit masks of KMIP 1.0 to 2.1: a module each, by the names that JSON and XML give them.
        #[allow(non_upper_case_globals, non_snake_case, reason = "names are the standard's, to the letter")]
        pub mod values {
            $(
                #[doc = concat!("Values of `", stringify!($name), "`.")]
                pub mod $name {
                    $(
                        #[doc = concat!("`", stringify!($value), "`.")]
                        pub const $value: u32 = $number;
                    )*
                }
            )*
        }
        pub(super) static TABLES: &[super::Table] = &[$(
            super::Table {
                mask: stringify!($kind).len() == "mask".len(),
                users: &[$(super::tag::$user),*],
                values: &[$(($number, stringify!($value))),*],
            }
        ),*];
    };
}

pub(super) use {named_tags, named_values};

/// One enumeration or bit mask.
pub(super) struct Table {
    /// Whether values are sums of bits, in an Integer, rather than one number, in an Enumeration.
    pub(super) mask: bool,
    users: &'static [Tag],
    /// Ascending numbers with their names.
    pub(super) values: &'static [(u32, &'static str)],
}

impl Table {
    /// The name of a number, or of a bit.
    pub(super) fn name_of(&self, number: u32) -> Option<&'static str> {
        // Most tables count from 1 without a gap.
        let guess = number.wrapping_sub(1) as usize;
        let found = match self.values.get(guess) {
            Some((at, name)) if *at == number => return Some(name),
            _ => self.values.binary_search_by_key(&number, |(at, _)| *at),
        };
        found.ok().map(|at| self.values[at].1)
    }

    /// The number, or bit, of a name.
    pub(super) fn value_of(&self, name: &str) -> Option<u32> {
        let place = *TABLE_OF.get(named_place(*self.users.first()?)?)?;
        let mut slot = hash(u32::from(place) - 1, name.as_bytes()) as usize % VALUE_SLOTS;
        loop {
            let (table, value) = VALUE_BY_NAME[slot];
            if table == 0 {
                return None;
            }
            if table == place && self.values[value as usize].1 == name {
                return Some(self.values[value as usize].0);
            }
            slot = (slot + 1) % VALUE_SLOTS;
        }
    }
}

static NAMES: [&str; TAG_NUMBERS] = {
    let mut names = [""; TAG_NUMBERS];
    let mut at = 0;
    while at < tag_table::TAGS.len() {
        names[tag_table::TAGS[at].0 as usize] = tag_table::TAGS[at].1;
        at += 1;
    }
    names
};

/// For each tag's number one more than the place of its table, or none.
static TABLE_OF: [u8; TAG_NUMBERS] = {
    let mut tables = [0; TAG_NUMBERS];
    let mut at = 0;
    while at < value_table::TABLES.len() {
        let users = value_table::TABLES[at].users;
        let mut user = 0;
        while user < users.len() {
            tables[(users[user].number() & 0xffff) as usize] = at as u8 + 1;
            user += 1;
        }
        at += 1;
    }
    tables
};

/// By the hash of a name: one more than the place of its tag.
static TAG_BY_NAME: [u16; TAG_SLOTS] = {
    let mut slots = [0; TAG_SLOTS];
    let mut at = 0;
    while at < tag_table::TAGS.len() {
        let mut slot = hash(0, tag_table::TAGS[at].1.as_bytes()) as usize % TAG_SLOTS;
        while slots[slot] != 0 {
            slot = (slot + 1) % TAG_SLOTS;
        }
        slots[slot] = at as u16 + 1;
        at += 1;
    }
    slots
};

/// By the hash of a table's place and a name: one more than the place of the table, and the place within it.
static VALUE_BY_NAME: [(u8, u8); VALUE_SLOTS] = {
    let mut slots = [(0, 0); VALUE_SLOTS];
    let mut at = 0;
    while at < value_table::TABLES.len() {
        let values = value_table::TABLES[at].values;
        let mut value = 0;
        while value < values.len() {
            let mut slot = hash(at as u32, values[value].1.as_bytes()) as usize % VALUE_SLOTS;
            while slots[slot].0 != 0 {
                slot = (slot + 1) % VALUE_SLOTS;
            }
            slots[slot] = (at as u8 + 1, value as u8);
            value += 1;
        }
        at += 1;
    }
    slots
};

/// FNV-1a: names are short, and all those in the tables are known.
const fn hash(seed: u32, name: &[u8]) -> u32 {
    let mut hash = 0x811c_9dc5 ^ seed;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash ^ hash >> 15
}

/// What a tag is called, if it has a name.
pub(super) fn tag_name(tag: Tag) -> Option<&'static str> {
    let name = NAMES.get(named_place(tag)?)?;
    (!name.is_empty()).then_some(name)
}

/// The tag of a name.
pub(super) fn tag_of(name: &str) -> Option<Tag> {
    let mut slot = hash(0, name.as_bytes()) as usize % TAG_SLOTS;
    loop {
        let place = (TAG_BY_NAME[slot] as usize).checked_sub(1)?;
        let (number, found) = tag_table::TAGS[place];
        if found == name {
            return Some(Tag::new(0x42, number));
        }
        slot = (slot + 1) % TAG_SLOTS;
    }
}

/// What enumeration or mask the values of a tag are of.
pub(super) fn table_of(tag: Tag) -> Option<&'static Table> {
    let place = *TABLE_OF.get(named_place(tag)?)? as usize;
    place
        .checked_sub(1)
        .map(|place| &value_table::TABLES[place])
}

/// Whether the values of a tag are tags themselves (KMIP 2.0 and later).
fn holds_tags(tag: Tag) -> bool {
    tag == tag::AttributeReference || tag == tag::Tag
}

/// What the standard calls a value of an Enumeration with this tag, if it has a name.
#[must_use]
pub fn value_name(tag: Tag, value: u32) -> Option<&'static str> {
    if holds_tags(tag) {
        return tag_name(Tag::from_number(value)?);
    }
    table_of(tag)
        .filter(|table| !table.mask)
        .and_then(|table| table.name_of(value))
}

/// Whether an operation is called so.
#[must_use]
pub fn is_operation_name(name: &str) -> bool {
    value_of(tag::Operation, name).is_some()
}

/// The name of an Enumeration's value, or its number in hexadecimal digits.
#[must_use]
pub fn value_text(tag: Tag, value: u32) -> String {
    match value_name(tag, value) {
        Some(name) => name.to_owned(),
        None => format!("{value:#010X}"),
    }
}

/// The value of an Enumeration that has a name.
pub(super) fn value_of(tag: Tag, name: &str) -> Option<u32> {
    if holds_tags(tag) {
        return tag_of(name).map(Tag::number);
    }
    let table = table_of(tag).filter(|table| !table.mask)?;
    table.value_of(name)
}

/// The tag that an attribute of KMIP 1.x is named after: `Cryptographic Usage Mask` is `CryptographicUsageMask`.
pub(in crate::kmip) fn attribute_tag(name: &str) -> Option<Tag> {
    let mut spelled = [0; MAX_ATTRIBUTE_NAME];
    let mut length = 0;
    let mut first = true;
    for byte in name.bytes() {
        let byte = match byte {
            b' ' => {
                first = true;
                continue;
            }
            _ if first => byte.to_ascii_uppercase(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => byte,
            _ => b'_',
        };
        *spelled.get_mut(length)? = byte;
        length += 1;
        first = false;
    }
    tag_of(std::str::from_utf8(&spelled[..length]).ok()?)
}

fn named_place(tag: Tag) -> Option<usize> {
    let number = tag.number();
    (number >> 16 == 0x42).then_some((number & 0xffff) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_found_by_number_and_by_name() {
        for (number, name) in tag_table::TAGS {
            let tag = Tag::new(0x42, *number);
            assert_eq!(tag_name(tag), Some(*name));
            assert_eq!(tag_of(name), Some(tag));
        }
        assert!(
            tag_table::TAGS.is_sorted_by(|a, b| a.0 < b.0),
            "ascending, none twice"
        );
    }

    #[test]
    fn every_value_is_found_by_number_and_by_name() {
        let mut found = 0;
        for table in value_table::TABLES {
            let user = table.users[0];
            assert!(
                table.values.is_sorted_by(|a, b| a.0 < b.0),
                "{user}: ascending, none twice"
            );
            for (number, name) in table.values {
                assert_eq!(table.name_of(*number), Some(*name), "{user}");
                assert_eq!(table.value_of(name), Some(*number), "{user}");
                assert!(!table.mask || number.is_power_of_two(), "{name} is a bit");
                found += 1;
            }
            for user in table.users {
                assert!(
                    table_of(*user).is_some_and(|of| std::ptr::eq(of, table)),
                    "{user} has one table"
                );
            }
        }
        assert!(found > 1000, "{found} values");
    }

    #[test]
    fn what_has_no_name_has_none() {
        assert_eq!(tag_name(Tag::new(0x42, 0x000)), None);
        assert_eq!(tag_name(Tag::new(0x42, 0xffff)), None);
        assert_eq!(tag_name(Tag::new(0x54, 0x001)), None, "an extension");
        assert_eq!(tag_of("NoSuchTag"), None);
        assert_eq!(value_name(tag::ResultStatus, 0x8000_0001), None);
        assert_eq!(value_of(tag::ResultStatus, "Splendid"), None);
        assert_eq!(value_of(tag::BatchCount, "Success"), None);
    }

    #[test]
    fn tags_are_values_too() {
        assert_eq!(
            value_name(tag::AttributeReference, 0x42_008d),
            Some("State")
        );
        assert_eq!(value_of(tag::AttributeReference, "State"), Some(0x42_008d));
        assert_eq!(value_name(tag::AttributeReference, 0x0142_008d), None);
    }

    #[test]
    fn attributes_of_1_x_are_called_like_tags() {
        let pairs = [
            (
                "Cryptographic Usage Mask",
                Some(tag::CryptographicUsageMask),
            ),
            (
                "X.509 Certificate Subject",
                Some(tag::X_509CertificateSubject),
            ),
            ("PKCS#12 Friendly Name", Some(tag::PKCS_12FriendlyName)),
            ("State", Some(tag::State)),
            ("x-Barcode", None),
            ("", None),
        ];
        for (name, tag) in pairs {
            assert_eq!(attribute_tag(name), tag, "{name}");
        }
        assert_eq!(attribute_tag(&"a".repeat(1000)), None);
    }
}
