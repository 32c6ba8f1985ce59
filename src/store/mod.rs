//! Durable state: an append-only log for each group, with snapshots.
//!
//! A group's state is what its records say, in order. [`Store::append`] names the revision it expects, so a
//! writer that has lost its place is told so ([`StoreError::Conflict`]) instead of being merged: two writers
//! of one group fence each other out. That, and that an answered append survives `kill -9`, is all that the
//! engine relies on; a cluster engine can stand behind the same trait.
//!
//! No key is ever stored, not even a wrapped one: records are membership, nonces and version numbers.

mod catalogue;
mod error;
mod sqlite;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;

pub use catalogue::METRICS;
pub use error::StoreError;
pub use sqlite::{SqliteOptions, SqliteStats, SqliteStore, open_alone};

use crate::group::ids::{GroupId, Revision};

/// Greatest record or snapshot, in bytes: a group of a million members with long identities fits.
pub const MAX_BYTES: usize = 512 * 1024 * 1024;

/// What a store answers with, in time. Boxed so that the trait is object-safe.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A group as it was stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// Which group.
    pub id: GroupId,
    /// Of its newest record; the next append expects it.
    pub revision: Revision,
    /// The newest snapshot, if there is one.
    pub snapshot: Option<Vec<u8>>,
    /// The records after the snapshot, oldest first.
    pub records: Vec<Vec<u8>>,
}

impl std::fmt::Debug for StoredGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredGroup")
            .field("id", &self.id)
            .field("revision", &self.revision)
            .field("snapshot", &self.snapshot.as_ref().map(Vec::len))
            .field("records", &self.records.len())
            .finish()
    }
}

/// Durable state of groups.
///
/// A future that is dropped takes nothing back: what it asked for may still happen. An append that was
/// answered with an error may still turn up after a restart (the disk may have taken it before it failed);
/// one that was answered with a revision always does.
pub trait Store: Send + Sync + 'static {
    /// Add a record to a group's log and answer with the log's new revision once it is durable. Revision 0 is
    /// that of a group that is not there yet: the first append creates it.
    fn append(
        &self,
        group: GroupId,
        expected: Revision,
        record: Vec<u8>,
    ) -> StoreFuture<'_, Revision>;

    /// Store what the records up to and including `at` amount to, and drop these records, in one step.
    /// A snapshot older than the stored one changes nothing.
    fn snapshot(&self, group: GroupId, at: Revision, bytes: Vec<u8>) -> StoreFuture<'_, ()>;

    /// Forget a group; that there is no such group is no error.
    fn remove(&self, group: GroupId) -> StoreFuture<'_, ()>;

    /// The next groups by id after a given one: some, but not so many that they crowd memory; none at the
    /// end. [`load`] is the convenient way.
    fn page(&self, after: Option<GroupId>) -> StoreFuture<'_, Vec<StoredGroup>>;
}

/// All groups of a store, one after the other, read a page at a time.
pub fn load(store: &dyn Store) -> Groups<'_> {
    Groups {
        store,
        page: Vec::new().into_iter(),
        last: None,
    }
}

/// The stream of [`load`].
pub struct Groups<'a> {
    store: &'a dyn Store,
    page: std::vec::IntoIter<StoredGroup>,
    last: Option<GroupId>,
}

impl Groups<'_> {
    /// The next group, or `None` after the last. An error names what is wrong; reading on repeats it.
    pub async fn next(&mut self) -> Result<Option<StoredGroup>, StoreError> {
        if self.page.len() == 0 {
            self.page = self.store.page(self.last).await?.into_iter();
        }
        let group = self.page.next();
        self.last = group.as_ref().map(|group| group.id).or(self.last);
        Ok(group)
    }
}
