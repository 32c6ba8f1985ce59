//! A search filter (RFC 4515) with places for an identity.

use std::fmt::Write;

use crate::attributes::certificate::Parts;
use crate::group::ids::Identity;

/// The longest template, in bytes.
const MAX: usize = 1_024;

/// A filter such as `(&(objectClass=person)(uid={name}))`. What stands for an identity can be nothing but a value in it, whatever the
/// identity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The whole identity.
    Identity,
    /// What follows its kind.
    Name,
    /// What follows the last slash of that.
    Last,
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Braces around something else.
    #[error("{{{0}}} stands for nothing; there are {{identity}}, {{name}} and {{last}}")]
    Unknown(String),
    /// A brace alone.
    #[error("a brace without its other half; write \\7b or \\7d for one that is meant")]
    Brace,
    /// No identity in it.
    #[error(
        "it asks for the same entry whoever it is: it needs {{identity}}, {{name}} or {{last}}"
    )]
    Constant,
    /// No filter.
    #[error("it is no filter of RFC 4515, such as (uid={{name}}), or longer than {MAX} bytes")]
    Syntax,
}

impl Filter {
    /// Reads a template.
    pub fn new(template: &str) -> Result<Self, FilterError> {
        if template.len() > MAX {
            return Err(FilterError::Syntax);
        }
        let (mut parts, mut rest) = (Vec::new(), template);
        while let Some(at) = rest.find(['{', '}']) {
            let (text, place) = rest.split_at(at);
            let place = place.strip_prefix('{').ok_or(FilterError::Brace)?;
            let (place, after) = place.split_once('}').ok_or(FilterError::Brace)?;
            parts.push(Part::Text(text.to_owned()));
            parts.push(match place {
                "identity" => Part::Identity,
                "name" => Part::Name,
                "last" => Part::Last,
                other => return Err(FilterError::Unknown(other.to_owned())),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let filter = Self(parts);
        if filter.0.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err(FilterError::Constant);
        }
        let identity = Identity("cn:x".into());
        let example = filter.of(&Parts::new(&identity), &identity);
        match ldap3::parse_filter(example) {
            Ok(_) => Ok(filter),
            Err(()) => Err(FilterError::Syntax),
        }
    }

    /// The filter for an identity.
    pub(super) fn of(&self, parts: &Parts<'_>, identity: &Identity) -> String {
        let mut filter = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filter.push_str(text),
                Part::Identity => escape(&mut filter, &identity.0),
                Part::Name => escape(&mut filter, parts.name),
                Part::Last => {
                    let last = parts.name.rsplit('/').next().unwrap_or_default();
                    escape(&mut filter, last);
                }
            }
        }
        filter
    }
}

/// RFC 4515 section 3 lets any octet be escaped: so is all that is no letter or digit, or one of a few signs that mean nothing there.
fn escape(filter: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.@:/".contains(&byte) {
            filter.push(char::from(byte));
        } else {
            write!(filter, "\\{byte:02x}").expect("text takes all");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(template: &str, identity: &str) -> String {
        let identity = Identity(identity.into());
        let filter = Filter::new(template).expect("a template");
        filter.of(&Parts::new(&identity), &identity)
    }

    #[test]
    fn an_identity_takes_its_place() {
        let cases = [
            ("(uid={name})", "cn:anna", "(uid=anna)"),
            ("(uid={last})", "spiffe://a.org/room/anna", "(uid=anna)"),
            (
                "(&(objectClass=person)(|(seeAlso={identity})(host={name})))",
                "dns:a.org",
                "(&(objectClass=person)(|(seeAlso=dns:a.org)(host=a.org)))",
            ),
        ];
        for (template, identity, expected) in cases {
            assert_eq!(filter(template, identity), expected);
        }
    }

    #[test]
    fn hostile_identities_stay_values() {
        let hostile = [
            ("cn:*", "(uid=\\2a)"),
            ("cn:*)(uid=*", "(uid=\\2a\\29\\28uid\\3d\\2a)"),
            (
                "cn:admin)(|(password=*",
                "(uid=admin\\29\\28\\7c\\28password\\3d\\2a)",
            ),
            ("cn:\\2a", "(uid=\\5c2a)"),
            ("cn:\0", "(uid=\\00)"),
            ("cn:é", "(uid=\\c3\\a9)"),
            ("cn:{identity}", "(uid=\\7bidentity\\7d)"),
            ("cn:", "(uid=)"),
        ];
        for (identity, expected) in hostile {
            let found = filter("(uid={name})", identity);
            assert_eq!(found, expected);
            // One equality match (RFC 4511 section 4.5.1), and nothing else.
            let parsed = ldap3::parse_filter(&found).expect("a filter");
            assert_eq!(ldap3::asn1::ASNTag::into_structure(parsed).id, 3, "{found}");
        }
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        let cases = [
            ("(uid={user})", FilterError::Unknown("user".into())),
            ("(uid={name)", FilterError::Brace),
            ("(uid=name})", FilterError::Brace),
            ("(uid=anna)", FilterError::Constant),
            ("(uid={name}", FilterError::Syntax),
            ("uid={name})", FilterError::Syntax),
            ("(uid)({name})", FilterError::Syntax),
        ];
        for (template, why) in cases {
            assert_eq!(Filter::new(template), Err(why), "{template}");
        }
    }
}
