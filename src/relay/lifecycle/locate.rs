//! Looks objects up by their names. A store need not know that names are unique: of several the one is taken that describes itself as
//! the gateway's own of that name.

use std::collections::HashMap;

use super::names::describes;
use super::upstream;
use crate::kmip::client::{Attribute, AttributeName, Client, GetAttributes, Locate};
use crate::kmip::codec::{Value, tag};
use crate::relay::SinkError;

/// Look-ups by name in one message: stores may search all that they have for each.
const LOOK_UPS: usize = 4;
/// Objects of one name that are looked at.
const MOST_ALIKE: u32 = 16;

/// What came of look-ups.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The identifiers, by name, of those that are there.
    pub(super) ids: HashMap<String, String>,
    /// Why it is not known which one it is, by name.
    pub(super) unclear: HashMap<String, String>,
}

/// Looks objects of the gateway's own up.
pub(super) async fn locate(client: &Client, names: &[&str]) -> Result<Found, SinkError> {
    let mut found = Found::default();
    for (name, mut ids) in all(client, names).await? {
        if ids.len() > 1 {
            ids = own(client, &name, ids).await?;
            if ids.is_empty() {
                let why = "the store has several objects of this name, and none describes itself as the gateway's: destroy or rename them";
                found.unclear.insert(name, why.to_owned());
                continue;
            }
            if ids.len() > 1 {
                tracing::warn!(
                    name,
                    ?ids,
                    "an object of the gateway's is upstream more than once: the first is taken"
                );
            }
        }
        if let Some(id) = ids.into_iter().next() {
            found.ids.insert(name, id);
        }
    }
    Ok(found)
}

/// The identifiers of all objects of some names.
pub(super) async fn all(
    client: &Client,
    names: &[&str],
) -> Result<Vec<(String, Vec<String>)>, SinkError> {
    let mut found = Vec::with_capacity(names.len());
    for some in names.chunks(LOOK_UPS) {
        let items: Vec<Locate> = some.iter().map(|name| by_name(name)).collect();
        let items: Vec<&Locate> = items.iter().collect();
        let answers = upstream::each(client, &items).await?;
        for (name, answer) in some.iter().zip(answers) {
            let located = answer.map_err(|error| {
                SinkError::Refused(format!("object {name} cannot be looked up: {error}"))
            })?;
            found.push(((*name).to_owned(), located.unique_identifiers));
        }
    }
    Ok(found)
}

/// Those of several objects that describe themselves as the gateway's of this name.
async fn own(client: &Client, name: &str, ids: Vec<String>) -> Result<Vec<String>, SinkError> {
    let ask = |id: &String| GetAttributes {
        unique_identifier: id.clone(),
        names: vec![AttributeName::Standard(tag::ApplicationSpecificInformation)],
    };
    let asked: Vec<GetAttributes> = ids.iter().map(ask).collect();
    let asked: Vec<&GetAttributes> = asked.iter().collect();
    let answers = upstream::each(client, &asked).await?;
    let is_own = |attributes: &[Attribute]| {
        attributes
            .iter()
            .any(|attribute| is_description(attribute, name))
    };
    let own = ids.into_iter().zip(answers);
    let own = own.filter(|(_, answer)| answer.as_ref().is_ok_and(|found| is_own(found)));
    Ok(own.map(|(id, _)| id).collect())
}

fn is_description(attribute: &Attribute, name: &str) -> bool {
    let Value::Structure(items) = &attribute.value else {
        return false;
    };
    let text = |wanted| {
        items.iter().find_map(|item| match &item.value {
            Value::TextString(text) if item.tag == wanted => Some(text.as_str()),
            _ => None,
        })
    };
    let (namespace, data) = (text(tag::ApplicationNamespace), text(tag::ApplicationData));
    namespace
        .zip(data)
        .is_some_and(|(namespace, data)| describes(namespace, data, name))
}

fn by_name(name: &str) -> Locate {
    Locate {
        attributes: vec![Attribute::name(name)],
        maximum_items: Some(MOST_ALIKE),
    }
}
