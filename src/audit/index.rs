//! How far each group had come in the trail as a segment ended: so that a start reads the newest segment alone.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chain::{Chain, Digest};
use super::event::{Entry, Event};
use crate::group::ids::Revision;

const NAME: &str = "index.json";
const NEXT_NAME: &str = "index.json.new";

/// The newest record of each group's log that the trail has, by the group's identifier. Groups that are over are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Revisions(HashMap<String, Revision>);

impl Revisions {
    pub(super) fn of(&self, group: &str) -> Revision {
        self.0.get(group).copied().unwrap_or_default()
    }

    /// The trail has this entry now.
    pub(super) fn learn(&mut self, entry: &Entry) {
        let (Some(group), Some(revision)) = (&entry.group, entry.revision) else {
            return;
        };
        if matches!(entry.event, Event::GroupDestroyed) {
            self.0.remove(&group.id);
        } else if let Some(known) = self.0.get_mut(&group.id) {
            *known = revision.max(*known);
        } else {
            self.0.insert(group.id.clone(), revision);
        }
    }
}

/// What the file says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// The number of the first record after it, which begins a segment.
    pub(super) next: u64,
    /// The digest of the line before that.
    pub(super) head: Digest,
    pub(super) revisions: Revisions,
}

impl Index {
    /// The index of a folder, if it has one that can be read: without one all segments are read.
    pub(super) fn load(directory: &Path) -> Option<Self> {
        let bytes = fs::read(directory.join(NAME)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn chain(&self) -> Chain {
        Chain {
            next: self.next,
            head: self.head,
        }
    }

    /// Replaces the folder's index.
    pub(super) fn save(&self, directory: &Path) -> io::Result<()> {
        let new = directory.join(NEXT_NAME);
        let mut file = File::create(&new)?;
        serde_json::to_writer(&mut file, self)?;
        file.sync_all()?;
        fs::rename(new, directory.join(NAME))
    }
}
