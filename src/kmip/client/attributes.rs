//! Attributes of objects, and the one place where their forms differ: pairs of a name and a value in KMIP 1.x, items with tags
//! of their own in KMIP 2.x.

use super::Version;
use crate::kmip::codec::{Item, Tag, Value, attribute_tag, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// What an attribute is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeName {
    /// One of the standard's (KMIP 2.1 section 4, KMIP 1.4 section 3).
    Standard(Tag),
    /// One of a vendor's, or of a client's own.
    Vendor {
        /// Whose: in KMIP 1.x `x` is the client and `y` is the server; empty where it is unknown.
        vendor: String,
        /// The name.
        name: String,
    },
}

/// An attribute of an object. Its `Debug` does not show text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What it is called.
    pub name: AttributeName,
    /// Its value. That of `Name` and of some others is a structure.
    pub value: Value,
}

impl Attribute {
    /// An attribute of the standard.
    #[must_use]
    pub fn standard(tag: Tag, value: Value) -> Self {
        let name = AttributeName::Standard(tag);
        Self { name, value }
    }

    /// `Name`, unique in a store (KMIP 2.1 section 4.38).
    #[must_use]
    pub fn name(name: &str) -> Self {
        let built = Structure::new(tag::Name)
            .text(tag::NameValue, name)
            .enumeration(tag::NameType, values::NameType::UninterpretedTextString);
        Self::standard(tag::Name, Item::from(built).value)
    }

    /// `ObjectGroup`, the name of a group that the object is in; it may be in several (KMIP 2.1 section 4.40).
    #[must_use]
    pub fn object_group(name: &str) -> Self {
        Self::standard(tag::ObjectGroup, Value::TextString(name.to_owned()))
    }

    /// `ApplicationSpecificInformation` (KMIP 2.1 section 4.3).
    #[must_use]
    pub fn application(namespace: &str, data: &str) -> Self {
        let built = Structure::new(tag::ApplicationSpecificInformation)
            .text(tag::ApplicationNamespace, namespace)
            .text(tag::ApplicationData, data);
        Self::standard(tag::ApplicationSpecificInformation, Item::from(built).value)
    }

    /// `ObjectType`, one of [`ObjectType`](values::ObjectType).
    #[must_use]
    pub fn object_type(kind: u32) -> Self {
        Self::standard(tag::ObjectType, Value::Enumeration(kind))
    }

    /// `CryptographicAlgorithm`, one of [`CryptographicAlgorithm`](values::CryptographicAlgorithm).
    #[must_use]
    pub fn algorithm(algorithm: u32) -> Self {
        Self::standard(tag::CryptographicAlgorithm, Value::Enumeration(algorithm))
    }

    /// `CryptographicLength`, in bits.
    #[must_use]
    pub fn length(bits: i32) -> Self {
        Self::standard(tag::CryptographicLength, Value::Integer(bits))
    }

    /// `CryptographicUsageMask`, a sum of [`CryptographicUsageMask`](values::CryptographicUsageMask).
    #[must_use]
    pub fn usage(mask: u32) -> Self {
        Self::standard(
            tag::CryptographicUsageMask,
            Value::Integer(mask.cast_signed()),
        )
    }

    /// The number, if it is an enumeration: a state, an algorithm, a type.
    #[must_use]
    pub fn enumeration(&self) -> Option<u32> {
        match self.value {
            Value::Enumeration(value) => Some(value),
            _ => None,
        }
    }

    /// The text; of a `Name` its value.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::TextString(text) => Some(text),
            Value::Structure(items) => items.iter().find_map(|item| match &item.value {
                Value::TextString(text) if item.tag == tag::NameValue => Some(text.as_str()),
                _ => None,
            }),
            _ => None,
        }
    }

    fn item(&self, version: Version) -> Item {
        let built = Structure::new(tag::Attribute);
        let built = match (&self.name, version.has_attribute_tags()) {
            (AttributeName::Standard(tag), true) => return Item::new(*tag, self.value.clone()),
            (AttributeName::Vendor { vendor, name }, true) => built
                .text(tag::VendorIdentification, vendor)
                .text(tag::AttributeName, name),
            (name, false) => built.text(tag::AttributeName, name.spelled()),
        };
        built.value(tag::AttributeValue, self.value.clone()).into()
    }

    fn read(item: &Field<'_>) -> Result<Self, MessageError> {
        if item.item().tag != tag::Attribute {
            return Ok(Self::standard(item.item().tag, item.item().value.clone()));
        }
        let name = item.child(tag::AttributeName)?.text()?;
        let vendor = item.optional(tag::VendorIdentification)?;
        let name = match vendor {
            Some(vendor) => AttributeName::Vendor {
                vendor: vendor.text()?.to_owned(),
                name: name.to_owned(),
            },
            None => AttributeName::of(name),
        };
        let value = item.child(tag::AttributeValue)?.item().value.clone();
        Ok(Self { name, value })
    }
}

impl AttributeName {
    /// The attribute that KMIP 1.x calls so.
    fn of(name: &str) -> Self {
        if let Some(tag) = attribute_tag(name) {
            return Self::Standard(tag);
        }
        let (vendor, name) = match name.split_once('-') {
            Some((vendor @ ("x" | "y"), name)) => (vendor, name),
            _ => ("", name),
        };
        Self::Vendor {
            vendor: vendor.to_owned(),
            name: name.to_owned(),
        }
    }

    /// What KMIP 1.x calls it: words with spaces between them.
    fn spelled(&self) -> String {
        match self {
            Self::Vendor { vendor, name } if vendor.is_empty() => name.clone(),
            Self::Vendor { vendor, name } => format!("{vendor}-{name}"),
            Self::Standard(tag) => match tag.name() {
                Some(name) => words(name),
                None => tag.to_string(),
            },
        }
    }

    fn reference(&self, version: Version) -> Item {
        match (self, version.has_attribute_tags()) {
            (Self::Standard(tag), true) => {
                Item::new(tag::AttributeReference, Value::Enumeration(tag.number()))
            }
            (Self::Vendor { vendor, name }, true) => Structure::new(tag::AttributeReference)
                .text(tag::VendorIdentification, vendor)
                .text(tag::AttributeName, name)
                .into(),
            (name, false) => Item::new(tag::AttributeName, Value::TextString(name.spelled())),
        }
    }

    fn read(reference: &Field<'_>) -> Result<Self, MessageError> {
        match &reference.item().value {
            Value::Enumeration(number) => Ok(match Tag::from_number(*number) {
                Some(tag) => Self::Standard(tag),
                None => Self::of(&number.to_string()),
            }),
            Value::TextString(name) => Ok(Self::of(name)),
            _ => {
                let name = reference.child(tag::AttributeName)?.text()?;
                // Some stores give attributes of the standard by name, as if they were a vendor's.
                if let Some(tag) = attribute_tag(name) {
                    return Ok(Self::Standard(tag));
                }
                Ok(Self::Vendor {
                    vendor: reference
                        .child(tag::VendorIdentification)?
                        .text()?
                        .to_owned(),
                    name: name.to_owned(),
                })
            }
        }
    }
}

/// `CryptographicUsageMask` is `Cryptographic Usage Mask`; two families of names have a sign that tags cannot have.
fn words(name: &str) -> String {
    let (mut spelled, rest) = match name {
        _ if name.starts_with("X_509") => ("X.509".to_owned(), &name["X_509".len()..]),
        _ if name.starts_with("PKCS_12") => ("PKCS#12".to_owned(), &name["PKCS_12".len()..]),
        _ => (String::new(), name),
    };
    let mut signs = rest.chars().peekable();
    let mut before_is_lower = false;
    while let Some(sign) = signs.next() {
        let next_is_lower = signs.peek().is_some_and(char::is_ascii_lowercase);
        let begins = sign.is_ascii_uppercase() && (before_is_lower || next_is_lower);
        if begins && !spelled.is_empty() {
            spelled.push(' ');
        }
        spelled.push(sign);
        before_is_lower = !sign.is_ascii_uppercase();
    }
    spelled
}

/// The attributes of an object that is to be made.
pub(super) fn of_new(version: Version, attributes: &[Attribute]) -> Item {
    let around = match version.has_attribute_tags() {
        true => tag::Attributes,
        false => tag::TemplateAttribute,
    };
    let items = attributes.iter().map(|attribute| attribute.item(version));
    Structure::new(around).items(items).into()
}

/// The attributes that objects must have to be found.
pub(super) fn to_locate(version: Version, attributes: &[Attribute]) -> Vec<Item> {
    match version.has_attribute_tags() {
        true => vec![of_new(version, attributes)],
        false => {
            let items = attributes.iter().map(|attribute| attribute.item(version));
            items.collect()
        }
    }
}

/// An attribute that is to be added.
pub(super) fn to_add(version: Version, attribute: &Attribute) -> Item {
    let item = attribute.item(version);
    match version.has_attribute_tags() {
        true => Structure::new(tag::NewAttribute).items([item]).into(),
        false => item,
    }
}

/// Names of attributes that are asked for.
pub(super) fn references(
    version: Version,
    names: &[AttributeName],
) -> impl Iterator<Item = Item> + '_ {
    names.iter().map(move |name| name.reference(version))
}

/// The attributes in a response.
pub(super) fn read(version: Version, payload: &Field<'_>) -> Result<Vec<Attribute>, MessageError> {
    if !version.has_attribute_tags() {
        let attributes = payload.children(tag::Attribute)?;
        return attributes.map(|item| Attribute::read(&item)).collect();
    }
    let Some(around) = payload.optional(tag::Attributes)? else {
        return Ok(Vec::new());
    };
    let items = around.items()?.iter();
    let attributes = items.map(|item| Attribute::read(&Field::of(item, item.tag)?));
    attributes.collect()
}

/// The names of attributes in a response.
pub(super) fn read_references(
    version: Version,
    payload: &Field<'_>,
) -> Result<Vec<AttributeName>, MessageError> {
    let tag = match version.has_attribute_tags() {
        true => tag::AttributeReference,
        false => tag::AttributeName,
    };
    let references = payload.children(tag)?;
    references.map(|item| AttributeName::read(&item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_kmip_1_does() {
        let cases = [
            (tag::State, "State"),
            (tag::CryptographicUsageMask, "Cryptographic Usage Mask"),
            (tag::X_509CertificateSubject, "X.509 Certificate Subject"),
            (tag::PKCS_12FriendlyName, "PKCS#12 Friendly Name"),
            (tag::CertificateSubjectCN, "Certificate Subject CN"),
            (
                tag::CertificateSubjectDNQualifier,
                "Certificate Subject DN Qualifier",
            ),
        ];
        for (tag, spelled) in cases {
            let name = AttributeName::Standard(tag);
            assert_eq!(name.spelled(), spelled);
            assert_eq!(AttributeName::of(spelled), name);
        }
        for spelled in ["x-Barcode", "y-a-b", "Barcode"] {
            assert_eq!(AttributeName::of(spelled).spelled(), spelled);
        }
    }

    #[test]
    fn every_version_has_a_form_that_is_read_again() {
        let name = AttributeName::Vendor {
            vendor: "x".to_owned(),
            name: "Barcode".to_owned(),
        };
        let own = Attribute {
            name,
            value: Value::Integer(7),
        };
        let attributes = [Attribute::name("a"), Attribute::object_group("b"), own];
        for version in Version::ALL {
            let items = to_locate(version, &attributes);
            let payload = Structure::new(tag::ResponsePayload).items(items).into();
            let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
            assert_eq!(read(version, &payload), Ok(attributes.to_vec()));
            let names = attributes.clone().map(|attribute| attribute.name);
            let items = references(version, &names);
            let payload = Structure::new(tag::ResponsePayload).items(items).into();
            let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
            assert_eq!(read_references(version, &payload), Ok(names.to_vec()));
        }
    }
}
