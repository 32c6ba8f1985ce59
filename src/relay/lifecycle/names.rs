//! What objects are called upstream, and what their descriptors say.

use serde::Serialize;

use super::known::{Known, Seed};
use crate::audit::Root;
use crate::group::ids::Epoch;
use crate::kmip::client::Attribute;

/// The namespace of `ApplicationSpecificInformation`.
const NAMESPACE: &str = "wardcast";

/// The names of one gateway's objects. What they begin with is configured: `upstream.name`.
#[derive(Clone, Debug)]
pub struct Names(String);

impl Names {
    /// Names that begin so.
    pub fn new(prefix: &str) -> Self {
        Names(prefix.to_owned())
    }

    /// The `ObjectGroup` of all of them.
    pub fn object_group(&self) -> String {
        format!("{}.keys", self.0)
    }

    /// That of a group's own object.
    pub fn group(&self, id: &str, copy: u32) -> String {
        format!("{}.group.{id}{}", self.0, suffix(copy))
    }

    /// That of a generation of the root. A tree that grows has its root on another level, where generations are counted anew: so
    /// the level is a part of it.
    pub(super) fn key(&self, id: &str, seed: &Seed, root: Root, copy: u32) -> String {
        let (master, level, generation) = (seed.master.0, root.level, root.generation);
        let suffix = suffix(copy);
        format!("{}.key.{id}.{master}.{level}-{generation}{suffix}", self.0)
    }

    /// The attributes of an object.
    pub(super) fn attributes(&self, name: &str, descriptor: &str) -> Vec<Attribute> {
        vec![
            Attribute::name(name),
            Attribute::object_group(&self.object_group()),
            Attribute::application(NAMESPACE, descriptor),
        ]
    }
}

/// A successor is told from what it succeeds.
fn suffix(copy: u32) -> String {
    match copy {
        1 => String::new(),
        copy => format!(".{copy}"),
    }
}

/// What an object says of itself, as JSON: as its `ApplicationSpecificInformation`, and as its value where it has no other. None
/// of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Descriptor {
    /// `group` or `key`.
    what: &'static str,
    /// The group's identifier.
    group: String,
    /// Its name.
    name: String,
    /// The suite of its keys.
    suite: u32,
    /// The master key that they are derived from.
    master: u32,
    /// When that was put on record.
    time: String,
    /// Of a generation of the root.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<KeyDescriptor>,
}

/// What the object of a generation says besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct KeyDescriptor {
    /// The root's level.
    level: u8,
    /// Its generation there.
    generation: u32,
    /// The first epoch of the generation; each further one is a step of the ratchet from there.
    epoch: Epoch,
    /// `none`; `wrapped` where the object is the key; or why it is not, though policy asks for it.
    escrow: String,
}

/// Whether application specific information says that its object is what an object of this name has to be.
pub(super) fn describes(namespace: &str, data: &str, name: &str) -> bool {
    let said: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
    let (Some(group), number) = (said["group"].as_str(), |key: &str| said[key].as_u64()) else {
        return false;
    };
    let rest = match (said["what"].as_str(), number("master")) {
        (Some("group"), _) => format!(".group.{group}"),
        (Some("key"), Some(master)) => {
            let (level, generation) = (number("level"), number("generation"));
            let (Some(level), Some(generation)) = (level, generation) else {
                return false;
            };
            format!(".key.{group}.{master}.{level}-{generation}")
        }
        _ => return false,
    };
    let after = name.rsplit_once(&rest).map(|(_, after)| after);
    let copy = |after: &str| after.is_empty() || after.starts_with('.');
    namespace == NAMESPACE && after.is_some_and(copy)
}

impl Descriptor {
    /// Of a group.
    pub(super) fn group(known: &Known, time: &str) -> Self {
        Descriptor {
            what: "group",
            group: known.id.clone(),
            name: known.name.clone(),
            suite: known.seed.suite.number(),
            master: known.seed.master.0,
            time: time.to_owned(),
            key: None,
        }
    }

    /// Of a generation of its root.
    pub(super) fn key(known: &Known, (root, epoch): (Root, Epoch), time: &str) -> Self {
        Descriptor {
            what: "key",
            key: Some(KeyDescriptor {
                level: root.level,
                generation: root.generation,
                epoch,
                escrow: "none".to_owned(),
            }),
            ..Self::group(known, time)
        }
    }

    /// Says what came of escrow.
    pub(super) fn escrow(mut self, what: impl Into<String>) -> Self {
        if let Some(key) = &mut self.key {
            key.escrow = what.into();
        }
        self
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a descriptor is a map with text for keys")
    }
}
