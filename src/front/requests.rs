//! Wishes to be let into a group, until somebody decides about them. They are on disk before they are answered.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::durable::{Durable, DurableError};
use super::exchanges::Bound;

/// Wishes of one caller.
pub(super) const MAX_PER_ASKER: i64 = 16;
/// Wishes of all callers.
pub(super) const MAX_REQUESTS: i64 = 4_096;
/// For how long a wish is kept, in seconds: a week.
pub(super) const MAX_AGE_S: i64 = 7 * 86_400;
/// Wishes on one page.
pub(super) const MAX_PAGE: i64 = 200;

/// A wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Its number.
    pub(super) id: i64,
    /// Who wishes.
    pub(super) asker: String,
    /// Which group.
    pub(super) group: String,
    /// As what: the word for it.
    pub(super) role: String,
    /// Why.
    pub(super) reason: String,
    /// Since when, in seconds since 1970.
    pub(super) since: i64,
}

/// The wishes of all callers.
#[derive(Clone)]
pub(super) struct Requests(Durable);

impl Requests {
    pub(super) fn new(durable: Durable) -> Self {
        Self(durable)
    }

    /// Keeps one, and forgets those that are too old; its number is given to it.
    pub(super) async fn add(&self, wish: Wish) -> Result<Result<Wish, Bound>, DurableError> {
        let add = move |transaction: &Transaction<'_>| {
            transaction.execute(
                "DELETE FROM requests WHERE since < ?1",
                [wish.since - MAX_AGE_S],
            )?;
            let count = |sql: &str, by: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<i64> {
                transaction.query_row(sql, by, |row| row.get(0))
            };
            if count("SELECT count(*) FROM requests", &[])? >= MAX_REQUESTS {
                return Ok(Err(Bound::Total));
            }
            let own = "SELECT count(*) FROM requests WHERE asker = ?1";
            if count(own, &[&wish.asker])? >= MAX_PER_ASKER {
                return Ok(Err(Bound::Caller));
            }
            let Wish {
                asker,
                group,
                role,
                reason,
                since,
                ..
            } = &wish;
            transaction.execute(
                "INSERT INTO requests (asker, \"group\", role, reason, since) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![asker, group, role, reason, since],
            )?;
            let id = transaction.last_insert_rowid();
            Ok(Ok(Wish { id, ..wish }))
        };
        self.0.run(add).await
    }

    /// Those after a given one: of one caller, or of all.
    pub(super) async fn page(
        &self,
        asker: Option<String>,
        after: i64,
        now: i64,
    ) -> Result<Vec<Wish>, DurableError> {
        let page = move |transaction: &Transaction<'_>| {
            let mut found = transaction.prepare(
                "SELECT id, asker, \"group\", role, reason, since FROM requests
                 WHERE id > ?1 AND since >= ?2 AND (?3 IS NULL OR asker = ?3) ORDER BY id LIMIT ?4",
            )?;
            let found = found.query_map(params![after, now - MAX_AGE_S, asker, MAX_PAGE], wish)?;
            found.collect()
        };
        self.0.run(page).await
    }

    /// One of them.
    pub(super) async fn get(&self, id: i64, now: i64) -> Result<Option<Wish>, DurableError> {
        let get = move |transaction: &Transaction<'_>| {
            let sql = "SELECT id, asker, \"group\", role, reason, since FROM requests WHERE id = ?1 AND since >= ?2";
            let found = transaction.query_row(sql, params![id, now - MAX_AGE_S], wish);
            found.optional()
        };
        self.0.run(get).await
    }

    /// Forgets one; whether it was there.
    pub(super) async fn remove(&self, id: i64) -> Result<bool, DurableError> {
        let remove = move |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM requests WHERE id = ?1", [id])
        };
        Ok(self.0.run(remove).await? > 0)
    }
}

fn wish(row: &Row<'_>) -> rusqlite::Result<Wish> {
    Ok(Wish {
        id: row.get(0)?,
        asker: row.get(1)?,
        group: row.get(2)?,
        role: row.get(3)?,
        reason: row.get(4)?,
        since: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish_of(asker: &str, since: i64) -> Wish {
        Wish {
            id: 0,
            asker: asker.to_owned(),
            group: "room".to_owned(),
            role: "receiver".to_owned(),
            reason: String::new(),
            since,
        }
    }

    #[tokio::test]
    async fn wishes_are_kept_in_bounds_until_they_are_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("front.db");
        let open = || Requests::new(Durable::open(&path).expect("a database"));
        let requests = open();
        for _ in 0..MAX_PER_ASKER {
            let added = requests.add(wish_of("a", 100)).await.expect("written");
            added.expect("there is room");
        }
        assert_eq!(
            requests.add(wish_of("a", 100)).await.expect("read"),
            Err(Bound::Caller)
        );
        let other = requests
            .add(wish_of("b", 100))
            .await
            .expect("written")
            .expect("room");
        drop(requests);
        let requests = open();
        let page = async |asker: Option<&str>, after, now| {
            requests
                .page(asker.map(str::to_owned), after, now)
                .await
                .expect("read")
        };
        assert_eq!(page(None, 0, 100).await.len(), MAX_PER_ASKER as usize + 1);
        assert_eq!(page(Some("b"), 0, 100).await, std::slice::from_ref(&other));
        assert!(page(Some("b"), other.id, 100).await.is_empty());
        assert!(page(None, 0, 101 + MAX_AGE_S).await.is_empty());
        assert_eq!(
            requests.get(other.id, 100).await.expect("read"),
            Some(other.clone())
        );
        assert_eq!(
            requests.get(other.id, 101 + MAX_AGE_S).await.expect("read"),
            None
        );
        assert!(requests.remove(other.id).await.expect("written"));
        assert!(!requests.remove(other.id).await.expect("written"));
        let later = wish_of("a", 101 + MAX_AGE_S);
        let later = requests
            .add(later)
            .await
            .expect("written")
            .expect("the old ones are gone");
        assert!(later.id > other.id, "a number is never used again");
    }
}
