//! What the embedded store promises, on real files.

use std::path::Path;
use std::sync::Arc;

use super::*;

fn group(number: u8) -> GroupId {
    GroupId([number; 16])
}

fn at(revision: u64) -> Revision {
    Revision(revision)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn all(store: &SqliteStore) -> Vec<StoredGroup> {
    let mut groups = load(store);
    let mut found = Vec::new();
    while let Some(group) = groups.next().await.expect("loads") {
        found.push(group);
    }
    found
}

/// Change bytes of a file that no store has open.
fn damage(path: &Path, find: &[u8], replace: &[u8]) {
    let mut bytes = std::fs::read(path).expect("reads");
    let place = bytes.windows(find.len()).position(|part| part == find);
    let place = place.expect("the bytes are in the file");
    bytes[place..place + replace.len()].copy_from_slice(replace);
    std::fs::write(path, bytes).expect("writes");
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart() {
    let folder = folder();
    let path = folder.path().join("state.db");
    {
        let store = SqliteStore::open(&path).expect("opens");
        for (number, record) in [b"one".to_vec(), b"two".to_vec(), Vec::new()]
            .into_iter()
            .enumerate()
        {
            let revision = store.append(group(1), at(number as u64), record).await;
            assert_eq!(revision.expect("appends"), at(number as u64 + 1));
        }
        store
            .append(group(2), at(0), b"other".to_vec())
            .await
            .expect("appends");
    }
    let store = SqliteStore::open(&path).expect("opens again");
    let groups = all(&store).await;
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].id, group(1));
    assert_eq!(groups[0].revision, at(3));
    assert_eq!(groups[0].snapshot, None);
    assert_eq!(
        groups[0].records,
        [b"one".to_vec(), b"two".to_vec(), Vec::new()]
    );
    assert_eq!(groups[1].records, [b"other".to_vec()]);
    store
        .append(group(1), at(3), b"four".to_vec())
        .await
        .expect("appends where it stopped");
}

#[tokio::test]
async fn a_writer_that_lost_its_place_is_told() {
    let folder = folder();
    let store = SqliteStore::open(folder.path().join("state.db")).expect("opens");
    store
        .append(group(1), at(0), b"one".to_vec())
        .await
        .expect("appends");
    for expected in [at(0), at(2)] {
        match store.append(group(1), expected, b"fork".to_vec()).await {
            Err(StoreError::Conflict {
                expected: named,
                actual,
                ..
            }) => {
                assert_eq!((named, actual), (expected, at(1)));
            }
            other => panic!("expected a conflict, got {other:?}"),
        }
    }
    let fork = store.append(group(9), at(1), b"x".to_vec()).await;
    assert!(matches!(fork, Err(StoreError::Conflict { actual, .. }) if actual == at(0)));
    assert_eq!(all(&store).await[0].records, [b"one".to_vec()]);
}

#[tokio::test]
async fn a_snapshot_replaces_the_records_before_it() {
    let folder = folder();
    let path = folder.path().join("state.db");
    {
        let store = SqliteStore::open(&path).expect("opens");
        for number in 0..5 {
            store
                .append(group(1), at(number), vec![number as u8])
                .await
                .expect("appends");
        }
        store
            .snapshot(group(1), at(3), b"sum of three".to_vec())
            .await
            .expect("snapshots");
        store
            .snapshot(group(1), at(2), b"too old".to_vec())
            .await
            .expect("is ignored");
        let ahead = store.snapshot(group(1), at(6), Vec::new()).await;
        assert!(matches!(ahead, Err(StoreError::Conflict { .. })));
        let unknown = store.snapshot(group(2), at(0), Vec::new()).await;
        assert!(matches!(unknown, Err(StoreError::UnknownGroup { .. })));
    }
    let store = SqliteStore::open(&path).expect("opens again");
    let found = all(&store).await.remove(0);
    assert_eq!(found.revision, at(5));
    assert_eq!(found.snapshot.as_deref(), Some(b"sum of three".as_slice()));
    assert_eq!(found.records, [vec![3], vec![4]]);

    store
        .snapshot(group(1), at(5), b"sum of all".to_vec())
        .await
        .expect("snapshots");
    assert!(all(&store).await[0].records.is_empty());
    store
        .append(group(1), at(5), b"on".to_vec())
        .await
        .expect("appends after a bare snapshot");
}

#[tokio::test]
async fn a_removed_group_is_gone_and_may_begin_anew() {
    let folder = folder();
    let store = SqliteStore::open(folder.path().join("state.db")).expect("opens");
    store
        .append(group(1), at(0), b"one".to_vec())
        .await
        .expect("appends");
    store
        .snapshot(group(1), at(1), b"all".to_vec())
        .await
        .expect("snapshots");
    store.remove(group(1)).await.expect("removes");
    store
        .remove(group(1))
        .await
        .expect("removing nothing is no error");
    assert!(all(&store).await.is_empty());
    store
        .append(group(1), at(0), b"new".to_vec())
        .await
        .expect("begins anew");
    assert_eq!(all(&store).await[0].snapshot, None);
}

#[tokio::test]
async fn queued_appends_share_commits_and_a_conflict_harms_only_itself() {
    let folder = folder();
    let store = Arc::new(SqliteStore::open(folder.path().join("state.db")).expect("opens"));
    let tasks: Vec<_> = (0..200u8)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let wrong = u64::from(number % 10 == 0);
                store.append(group(number), at(wrong), vec![number]).await
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(revision) => assert_eq!(revision, at(1)),
            Err(StoreError::Conflict { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let stats = store.stats();
    assert_eq!(refused, 20);
    assert_eq!((stats.written, stats.failures), (180, 0));
    assert!(
        stats.commits < 90,
        "{} commits for 180 appends",
        stats.commits
    );
    assert_eq!(all(&store).await.len(), 180);
}

#[tokio::test]
async fn appends_of_one_group_in_one_batch_see_each_other() {
    let folder = folder();
    let store = SqliteStore::open(folder.path().join("state.db")).expect("opens");
    let first = store.append(group(1), at(0), b"one".to_vec());
    let second = store.append(group(1), at(1), b"two".to_vec());
    let fork = store.append(group(1), at(1), b"fork".to_vec());
    let (first, second, fork) = tokio::join!(first, second, fork);
    assert_eq!((first.expect("one"), second.expect("two")), (at(1), at(2)));
    assert!(matches!(fork, Err(StoreError::Conflict { actual, .. }) if actual == at(2)));
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = folder();
    let path = folder.path().join("state.db");
    let first = SqliteStore::open(&path).expect("opens");
    let error = SqliteStore::open(&path).err().expect("is refused");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("state.db: in use by another process")
    );
    drop(first);
    SqliteStore::open(&path).expect("opens when the first is gone");
}

#[tokio::test]
async fn a_full_disk_is_an_answer_and_not_the_end() {
    let folder = folder();
    let options = SqliteOptions {
        max_pages: Some(64),
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open_with(folder.path().join("state.db"), options).expect("opens");
    store
        .append(group(1), at(0), vec![1; 100_000])
        .await
        .expect("fits");
    let great = store.append(group(1), at(1), vec![2; 1_000_000]);
    let small = store.append(group(2), at(0), vec![3; 100]);
    let (great, small) = tokio::join!(great, small);
    assert!(matches!(great, Err(StoreError::Full { .. })), "{great:?}");
    small.expect("a small append fits where the great one did not");

    let refused = store.append(group(3), at(0), vec![4; 200_000]).await;
    let refused = refused.expect_err("is full");
    assert!(refused.is_transient() && refused.to_string().contains("state.db: no room left"));
    store.remove(group(1)).await.expect("removes");
    store
        .append(group(3), at(0), vec![4; 200_000])
        .await
        .expect("fits now");
    assert!(store.stats().failures >= 2);
}

#[tokio::test]
async fn damage_is_refused_and_names_the_file() {
    let folder = folder();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).expect("opens");
    store
        .append(group(1), at(0), b"a record to be found".to_vec())
        .await
        .expect("appends");
    store
        .append(group(1), at(1), b"another".to_vec())
        .await
        .expect("appends");
    drop(store);

    let good = std::fs::read(&path).expect("reads");
    damage(&path, b"a record to be found", b"A");
    let store = SqliteStore::open(&path).expect("its structure is sound");
    let error = load(&store).next().await.expect_err("its content is not");
    let text = error.to_string();
    assert!(
        text.contains("state.db: damaged") && text.contains("revision 1"),
        "{text}"
    );
    drop(store);

    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    std::fs::write(&path, &cut).expect("writes");
    let error = match SqliteStore::open(&path) {
        Err(error) => error,
        Ok(store) => load(&store).next().await.expect_err("half a file"),
    };
    assert!(error.to_string().contains("state.db: damaged"), "{error}");

    std::fs::write(
        &path,
        [b"this is no database at all ".as_slice(); 200].concat(),
    )
    .expect("writes");
    let error = SqliteStore::open(&path).err().expect("is refused");
    assert!(error.to_string().contains("state.db: damaged"), "{error}");
}

#[tokio::test]
async fn a_missing_record_is_found() {
    let folder = folder();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).expect("opens");
    for number in 0..3 {
        store
            .append(group(1), at(number), vec![7; 9])
            .await
            .expect("appends");
    }
    drop(store);
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection
        .execute("DELETE FROM records WHERE revision = 2", [])
        .expect("deletes");
    drop(connection);
    let store = SqliteStore::open(&path).expect("opens");
    let error = load(&store).next().await.expect_err("a hole in the log");
    assert!(error.to_string().contains("records are missing"), "{error}");
}

#[tokio::test]
async fn newer_and_foreign_files_are_refused() {
    let folder = folder();
    let newer = folder.path().join("newer.db");
    drop(SqliteStore::open(&newer).expect("opens"));
    let connection = rusqlite::Connection::open(&newer).expect("opens");
    connection
        .pragma_update(None, "user_version", 2)
        .expect("updates");
    drop(connection);
    let error = SqliteStore::open(&newer).err().expect("is refused");
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );

    let foreign = folder.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).expect("opens");
    connection
        .execute_batch("CREATE TABLE songs (name TEXT)")
        .expect("creates");
    drop(connection);
    let error = SqliteStore::open(&foreign).err().expect("is refused");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");

    let error = SqliteStore::open(folder.path().join("no/such/state.db"))
        .err()
        .expect("is refused");
    assert!(
        error.to_string().contains("the folder must exist"),
        "{error}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let store = SqliteStore::open(folder.path().join("state.db")).expect("opens");
    store
        .append(group(1), at(0), b"one".to_vec())
        .await
        .expect("appends");
    for entry in folder.path().read_dir().expect("lists") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_load_in_pages_misses_nobody() {
    let folder = folder();
    let store = Arc::new(SqliteStore::open(folder.path().join("state.db")).expect("opens"));
    let ids: Vec<GroupId> = (0..600u16)
        .map(|number| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&number.swap_bytes().to_be_bytes());
            GroupId(id)
        })
        .collect();
    let tasks: Vec<_> = ids
        .iter()
        .map(|id| {
            let (store, id) = (store.clone(), *id);
            tokio::spawn(async move { store.append(id, at(0), vec![0; 40_000]).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("appends");
    }
    let found: Vec<GroupId> = all(&store).await.iter().map(|group| group.id).collect();
    let mut sorted = ids;
    sorted.sort();
    assert_eq!(found, sorted);
}
