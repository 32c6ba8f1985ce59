//! Logs and snapshots as rows, and in memory where each group's log stands.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use super::super::{StoreError, StoredGroup};
use super::file;
use super::writer::Change;
use crate::group::ids::{GroupId, Revision};

/// Groups in one page of a load, and the bytes after which a page ends.
const PAGE_GROUPS: u32 = 256;
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Where a group's log stands.
#[derive(Clone, Copy)]
struct Place {
    key: i64,
    revision: Revision,
    snapshot: Revision,
}

/// The database with what is known of each group in it.
pub(super) struct Log {
    path: PathBuf,
    connection: Connection,
    places: HashMap<GroupId, Place>,
}

/// A change's own answer: refused without harm to others, or done.
type Answer = Result<Revision, StoreError>;

impl Log {
    pub(super) fn open(path: &Path, max_pages: Option<u32>) -> Result<Self, StoreError> {
        let connection = file::open(path, max_pages)?;
        let places = read_places(path, &connection)?;
        Ok(Log {
            path: path.to_owned(),
            connection,
            places,
        })
    }

    /// Do all changes in one transaction. A refused one (a conflict) leaves the others alone; an error means
    /// that none was done.
    pub(super) fn commit<'a>(
        &mut self,
        changes: impl Iterator<Item = (GroupId, &'a Change)>,
    ) -> Result<Vec<Answer>, StoreError> {
        let outcome = Staged::run(&mut self.connection, &self.places, changes);
        match outcome {
            Ok((answers, staged)) => {
                for (group, place) in staged {
                    match place {
                        Some(place) => self.places.insert(group, place),
                        None => self.places.remove(&group),
                    };
                }
                Ok(answers)
            }
            Err(error) => Err(StoreError::from_sqlite(&self.path, error)),
        }
    }

    /// The next groups after one, with all that is stored of them, checked.
    pub(super) fn page(&self, after: Option<GroupId>) -> Result<Vec<StoredGroup>, StoreError> {
        let failed = |error| StoreError::from_sqlite(&self.path, error);
        let after = after.map_or(Vec::new(), |group| group.0.to_vec());
        let ids: Vec<[u8; 16]> = self
            .connection
            .prepare_cached("SELECT id FROM groups WHERE id > ?1 ORDER BY id LIMIT ?2")
            .and_then(|mut statement| {
                let rows =
                    statement.query_map(params![after, PAGE_GROUPS as i64], |row| row.get(0));
                rows?.collect()
            })
            .map_err(failed)?;
        let mut page = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        for id in ids.into_iter().map(GroupId) {
            let Some(place) = self.places.get(&id) else {
                return Err(self.corrupt(id, "appeared behind this gateway's back"));
            };
            let group = self.read_group(id, place)?;
            let snapshot = group.snapshot.as_ref().map_or(0, Vec::len);
            bytes += snapshot + group.records.iter().map(Vec::len).sum::<usize>();
            page.push(group);
            if bytes > PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    fn read_group(&self, id: GroupId, place: &Place) -> Result<StoredGroup, StoreError> {
        let failed = |error| StoreError::from_sqlite(&self.path, error);
        let snapshot = self
            .prepare("SELECT at, checksum, content FROM snapshots WHERE \"group\" = ?1")?
            .query_row([place.key], Row::read)
            .optional()
            .map_err(failed)?;
        let mut at = Revision(0);
        let snapshot = match snapshot {
            None => None,
            Some(row) => {
                at = row.revision;
                Some(self.checked(id, row, at)?)
            }
        };
        let mut statement = self.prepare(
            "SELECT revision, checksum, content FROM records WHERE \"group\" = ?1 ORDER BY revision",
        )?;
        let rows: Vec<Row> = statement
            .query_map([place.key], Row::read)
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            at = Revision(at.0 + 1);
            records.push(self.checked(id, row, at)?);
        }
        if at != place.revision {
            return Err(self.corrupt(id, "records are missing"));
        }
        Ok(StoredGroup {
            id,
            revision: place.revision,
            snapshot,
            records,
        })
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        let prepared = self.connection.prepare_cached(sql);
        prepared.map_err(|error| StoreError::from_sqlite(&self.path, error))
    }

    fn checked(&self, id: GroupId, row: Row, at: Revision) -> Result<Vec<u8>, StoreError> {
        if row.revision != at {
            return Err(self.corrupt(id, "records are missing"));
        }
        if row.checksum != checksum(id, at, &row.content) {
            return Err(self.corrupt(id, &format!("the content of revision {} changed", at.0)));
        }
        Ok(row.content)
    }

    fn corrupt(&self, id: GroupId, what: &str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            what: format!("group {id}: {what}"),
        }
    }
}

/// A stored record or snapshot.
struct Row {
    revision: Revision,
    checksum: Vec<u8>,
    content: Vec<u8>,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        Ok(Row {
            revision: Revision(row.get::<_, i64>(0)?.unsigned_abs()),
            checksum: row.get(1)?,
            content: row.get(2)?,
        })
    }
}

fn read_places(
    path: &Path,
    connection: &Connection,
) -> Result<HashMap<GroupId, Place>, StoreError> {
    let sql =
        "SELECT key, id, coalesce((SELECT at FROM snapshots WHERE \"group\" = key), 0) AS snapshot,
                      coalesce((SELECT max(revision) FROM records WHERE \"group\" = key), 0)
               FROM groups";
    let read = || -> rusqlite::Result<HashMap<GroupId, Place>> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let snapshot = row.get::<_, i64>(2)?.unsigned_abs();
            let place = Place {
                key: row.get(0)?,
                revision: Revision(row.get::<_, i64>(3)?.unsigned_abs().max(snapshot)),
                snapshot: Revision(snapshot),
            };
            Ok((GroupId(row.get(1)?), place))
        })?;
        rows.collect()
    };
    read().map_err(|error| StoreError::from_sqlite(path, error))
}

/// Where logs will stand once a transaction is committed; `None` is that there is no such group any more.
type Changed = HashMap<GroupId, Option<Place>>;

/// A transaction under way.
struct Staged<'c, 'p> {
    transaction: Transaction<'c>,
    places: &'p HashMap<GroupId, Place>,
    changed: Changed,
}

impl<'c, 'p> Staged<'c, 'p> {
    fn run<'a>(
        connection: &'c mut Connection,
        places: &'p HashMap<GroupId, Place>,
        changes: impl Iterator<Item = (GroupId, &'a Change)>,
    ) -> rusqlite::Result<(Vec<Answer>, Changed)> {
        let mut staged = Staged {
            transaction: connection.transaction()?,
            places,
            changed: HashMap::new(),
        };
        let mut answers = Vec::new();
        for (group, change) in changes {
            answers.push(staged.apply(group, change)?);
        }
        staged.transaction.commit()?;
        Ok((answers, staged.changed))
    }

    fn place(&self, group: GroupId) -> Option<Place> {
        match self.changed.get(&group) {
            Some(place) => *place,
            None => self.places.get(&group).copied(),
        }
    }

    fn apply(&mut self, group: GroupId, change: &Change) -> rusqlite::Result<Answer> {
        match change {
            Change::Append { expected, record } => self.append(group, *expected, record),
            Change::Snapshot { at, bytes } => self.snapshot(group, *at, bytes),
            Change::Remove => self.remove(group),
        }
    }

    fn append(
        &mut self,
        group: GroupId,
        expected: Revision,
        record: &[u8],
    ) -> rusqlite::Result<Answer> {
        let place = self.place(group);
        let actual = place.map_or(Revision(0), |place| place.revision);
        if actual != expected {
            return Ok(Err(StoreError::Conflict {
                group,
                expected,
                actual,
            }));
        }
        let mut place = match place {
            Some(place) => place,
            None => self.create(group)?,
        };
        place.revision = Revision(expected.0 + 1);
        self.transaction
            .prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                place.key,
                place.revision.0.cast_signed(),
                checksum(group, place.revision, record),
                record
            ])?;
        self.changed.insert(group, Some(place));
        Ok(Ok(place.revision))
    }

    fn create(&mut self, group: GroupId) -> rusqlite::Result<Place> {
        self.transaction
            .prepare_cached("INSERT INTO groups (id) VALUES (?1)")?
            .execute([group.0])?;
        Ok(Place {
            key: self.transaction.last_insert_rowid(),
            revision: Revision(0),
            snapshot: Revision(0),
        })
    }

    fn snapshot(&mut self, group: GroupId, at: Revision, bytes: &[u8]) -> rusqlite::Result<Answer> {
        let Some(mut place) = self.place(group) else {
            return Ok(Err(StoreError::UnknownGroup { group }));
        };
        if at > place.revision {
            return Ok(Err(StoreError::Conflict {
                group,
                expected: at,
                actual: place.revision,
            }));
        }
        if at <= place.snapshot {
            return Ok(Ok(place.revision));
        }
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                place.key,
                at.0.cast_signed(),
                checksum(group, at, bytes),
                bytes
            ])?;
        self.transaction
            .prepare_cached("DELETE FROM records WHERE \"group\" = ?1 AND revision <= ?2")?
            .execute(params![place.key, at.0.cast_signed()])?;
        place.snapshot = at;
        self.changed.insert(group, Some(place));
        Ok(Ok(place.revision))
    }

    fn remove(&mut self, group: GroupId) -> rusqlite::Result<Answer> {
        let Some(place) = self.place(group) else {
            return Ok(Ok(Revision(0)));
        };
        for sql in [
            "DELETE FROM records WHERE \"group\" = ?1",
            "DELETE FROM snapshots WHERE \"group\" = ?1",
            "DELETE FROM groups WHERE key = ?1",
        ] {
            self.transaction.prepare_cached(sql)?.execute([place.key])?;
        }
        self.changed.insert(group, None);
        Ok(Ok(Revision(0)))
    }
}

/// The first half of SHA-256 over group, revision and content: it finds damage, it proves nothing.
fn checksum(group: GroupId, revision: Revision, content: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(group.0)
        .chain_update(revision.0.to_be_bytes())
        .chain_update(content)
        .finalize()
        .into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}
