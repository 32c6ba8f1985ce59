//! Reads the batches of an audit trail back from the store, and the trail that they are.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::envelope::{self, EnvelopeFault};
use crate::audit::{Broken, Digest, Verified, segments, verify_pinned};
use crate::crypto::Fingerprint;
use crate::kmip::client::{
    Attribute, AttributeName, Batch, Client, ClientError, Get, GetAttributes, Locate, LocatePage,
    Object, Request,
};
use crate::kmip::codec::tag;
use crate::relay::{Place, SinkError};

/// Identifiers that are asked for at a time.
const PAGE: u32 = 4_000;
/// Names that are asked for with one message.
const NAMES: usize = 32;
/// Bytes of a segment that is written, after which the next begins.
const SEGMENT: u64 = 16 << 20;
/// Nobody but who reads it back sees who is in which group.
const FILE_MODE: u32 = 0o600;

/// Whose trail is read back, and from where.
pub struct Source {
    /// A client of the store.
    pub client: Client,
    /// The gateway's name there.
    pub gateway: String,
    /// The keys whose signatures are trusted; those that the trail itself names if there are none.
    pub issuers: Vec<Fingerprint>,
}

/// A trail that was read back, and is whole.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// How many batches it was in.
    pub batches: usize,
    /// What it holds.
    pub trail: Verified,
}

/// Why a trail cannot be read back, or what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store did not answer, or refused.
    #[error(transparent)]
    Store(#[from] ClientError),
    /// There is nothing.
    #[error("the key store has no batch of the audit trail of {0:?}")]
    Nothing(String),
    /// An object of the trail's group is none of its batches.
    #[error("object {0} is in the group of the audit trail, but its name is none of a batch")]
    Stranger(String),
    /// A batch is not there.
    #[error("records {first} to {last} are missing: the batch before ends with record {}, the next is {next}", .first - 1)]
    Missing {
        /// The first record that is missing.
        first: u64,
        /// The last.
        last: u64,
        /// The batch that comes then.
        next: String,
    },
    /// Records are there twice.
    #[error("batch {name} repeats records: all up to {last} are in those before it")]
    Repeated {
        /// The batch.
        name: String,
        /// The last record of the batches before.
        last: u64,
    },
    /// A batch is not what it was.
    #[error("batch {name}: {fault}")]
    Changed {
        /// The batch.
        name: String,
        /// What is wrong.
        fault: EnvelopeFault,
    },
    /// A batch is under a name that is not its own.
    #[error("batch {0} is not the one that its name and the batches before say")]
    Misplaced(String),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder has a trail already.
    #[error("there is an audit trail in {0} already: name a folder of its own")]
    Taken(PathBuf),
    /// The trail is broken, or a signature is wrong.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Reads the trail of a gateway back into a folder, and verifies it. `progress` is told how many batches of how many were read.
///
/// # Errors
/// The first thing that is wrong, and where.
pub async fn fetch(
    from: &Source,
    folder: &Path,
    mut progress: impl FnMut(usize, usize),
) -> Result<Fetched, FetchError> {
    let Source {
        client,
        gateway,
        issuers,
    } = from;
    let mut trail = Trail::begin(folder)?;
    let batches = batches(client, gateway).await?;
    let all = batches.len();
    progress(0, all);
    let mut head: Option<Digest> = None;
    for (done, (first, last, unique_identifier)) in batches.into_iter().enumerate() {
        let name = envelope::name(gateway, first, last);
        let got = client.call(&Get { unique_identifier }).await?;
        let Object::Opaque(object) = got.object else {
            return Err(FetchError::Misplaced(name));
        };
        let opened = envelope::open(object.value.as_bytes());
        let (envelope, lines) = opened.map_err(|fault| FetchError::Changed {
            name: name.clone(),
            fault,
        })?;
        let follows = head.is_none_or(|head| head == envelope.before);
        let own = envelope.gateway == *gateway;
        if !(own && follows && (envelope.first, envelope.last) == (first, last)) {
            return Err(FetchError::Misplaced(name));
        }
        head = Some(envelope.head);
        trail.append(first, lines)?;
        progress(done + 1, all);
    }
    trail.end()?;
    Ok(Fetched {
        batches: all,
        trail: verify_pinned(folder, issuers, |_, _| {})?,
    })
}

/// Where the newest batch of a gateway ends; none if it has none.
pub(super) async fn newest(client: &Client, gateway: &str) -> Result<Option<Place>, SinkError> {
    let listed = listed(client, gateway).await.map_err(|error| match error {
        FetchError::Store(error) => error.into(),
        error => SinkError::Refused(error.to_string()),
    })?;
    let Some((first, last, unique_identifier)) = listed.into_iter().max_by_key(|batch| batch.1)
    else {
        return Ok(None);
    };
    let name = envelope::name(gateway, first, last);
    let got = client.call(&Get { unique_identifier }).await?;
    let opened = match &got.object {
        Object::Opaque(object) => envelope::open(object.value.as_bytes()),
        _ => Err(EnvelopeFault::Unreadable("it is no opaque object".into())),
    };
    let (envelope, _) = opened.map_err(|fault| {
        let why = format!("batch {name}, the newest of the audit trail there: {fault}");
        SinkError::Refused(why)
    })?;
    Ok(Some(Place {
        sequence: last,
        head: envelope.head,
    }))
}

/// The batches of a gateway, each of which follows the one before.
async fn batches(client: &Client, gateway: &str) -> Result<Vec<(u64, u64, String)>, FetchError> {
    let batches = listed(client, gateway).await?;
    follow(gateway, &batches)?;
    match batches.is_empty() {
        true => Err(FetchError::Nothing(gateway.to_owned())),
        false => Ok(batches),
    }
}

/// The batches of a gateway, in their order: first and last record, and identifier.
async fn listed(client: &Client, gateway: &str) -> Result<Vec<(u64, u64, String)>, FetchError> {
    let mut batches = Vec::new();
    let identifiers = identifiers(client, gateway).await?;
    for some in identifiers.chunks(NAMES) {
        let asked: Vec<GetAttributes> = some
            .iter()
            .map(|unique_identifier| GetAttributes {
                unique_identifier: unique_identifier.clone(),
                names: vec![AttributeName::Standard(tag::Name)],
            })
            .collect();
        let requests: Vec<&dyn Request> = asked.iter().map(|one| one as &dyn Request).collect();
        let answers = client.exchange(&requests, Batch::default()).await?;
        for (place, one) in asked.iter().enumerate() {
            let attributes = answers.read(place, one)?;
            let mut names = attributes.iter().filter_map(Attribute::text);
            let Some((first, last)) = names.find_map(|name| envelope::named(gateway, name)) else {
                return Err(FetchError::Stranger(one.unique_identifier.clone()));
            };
            batches.push((first, last, one.unique_identifier.clone()));
        }
    }
    batches.sort();
    Ok(batches)
}

async fn identifiers(client: &Client, gateway: &str) -> Result<Vec<String>, FetchError> {
    let (mut all, mut known, mut offset) = (Vec::new(), HashSet::new(), 0);
    loop {
        let locate = Locate {
            attributes: vec![Attribute::object_group(&envelope::group(gateway))],
            maximum_items: Some(PAGE),
        };
        let page = LocatePage { locate, offset };
        let located = client.call(&page).await?;
        let total = located.located_items.unwrap_or_default();
        let page = located.unique_identifiers;
        let (some, before) = (page.len(), all.len());
        // What was registered meanwhile has moved others to the next page.
        all.extend(page.into_iter().filter(|own| known.insert(own.clone())));
        offset += u32::try_from(some).unwrap_or(PAGE);
        // A store may have less room in an answer than was asked for, and says then how many there are.
        let more = some >= PAGE as usize || i64::from(total) > i64::from(offset);
        if !more || all.len() == before {
            return Ok(all);
        }
    }
}

/// Whether each batch begins where the one before ends.
fn follow(gateway: &str, batches: &[(u64, u64, String)]) -> Result<(), FetchError> {
    for pair in batches.windows(2) {
        let [(_, last, _), (first, end, _)] = pair else {
            continue;
        };
        let next = envelope::name(gateway, *first, *end);
        if *first > last.saturating_add(1) {
            return Err(FetchError::Missing {
                first: last + 1,
                last: first - 1,
                next,
            });
        }
        if *first <= *last {
            let last = *last;
            return Err(FetchError::Repeated { name: next, last });
        }
    }
    Ok(())
}

/// A trail that is written: segments, as the gateway writes them.
struct Trail {
    folder: PathBuf,
    segment: Option<(PathBuf, File, u64)>,
}

impl Trail {
    fn begin(folder: &Path) -> Result<Self, FetchError> {
        let io = |source| FetchError::Io {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        match segments(folder).map_err(io)?.is_empty() {
            true => Ok(Trail {
                folder: folder.to_owned(),
                segment: None,
            }),
            false => Err(FetchError::Taken(folder.to_owned())),
        }
    }

    fn append(&mut self, first: u64, lines: &[u8]) -> Result<(), FetchError> {
        if self
            .segment
            .as_ref()
            .is_some_and(|(_, _, size)| *size >= SEGMENT)
        {
            self.end()?;
        }
        let (path, file, size) = match &mut self.segment {
            Some(segment) => segment,
            none => {
                let path = self.folder.join(format!("{first:020}.jsonl"));
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(FILE_MODE);
                let file = options.open(&path);
                let file = file.map_err(|source| FetchError::Io {
                    path: path.clone(),
                    source,
                })?;
                none.insert((path, file, 0))
            }
        };
        *size += lines.len() as u64;
        file.write_all(lines).map_err(|source| FetchError::Io {
            path: path.clone(),
            source,
        })
    }

    fn end(&mut self) -> Result<(), FetchError> {
        let Some((path, file, _)) = self.segment.take() else {
            return Ok(());
        };
        file.sync_all()
            .map_err(|source| FetchError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{seal, tests as samples};
    use super::*;

    #[test]
    fn missing_and_repeated_batches_are_named() {
        let of = |ranges: &[(u64, u64)]| {
            let all = ranges
                .iter()
                .map(|(first, last)| (*first, *last, String::new()));
            follow("gw", &all.collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[(1, 3), (4, 4), (5, 9)]), Ok(()));
        let why = of(&[(1, 3), (5, 9)]).expect_err("one is missing");
        assert!(why.starts_with("records 4 to 4 are missing"), "{why}");
        for twice in [&[(1, 3), (1, 3)][..], &[(1, 3), (3, 5)], &[(1, 9), (2, 3)]] {
            let why = of(twice).expect_err("one is there twice");
            assert!(why.contains("repeats records"), "{why}");
        }
    }

    #[test]
    fn lines_of_batches_make_up_the_trail_again() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let mut trail = Trail::begin(folder.path()).expect("is empty");
        for batch in samples::batches(&[2, 3]) {
            let content = seal("gw", &batch);
            let (envelope, lines) = envelope::open(&content).expect("opens");
            trail.append(envelope.first, lines).expect("is written");
        }
        trail.end().expect("is written");
        let whole = verify_pinned(folder.path(), &[], |_, _| {}).expect("is whole");
        assert_eq!((whole.first, whole.last, whole.segments), (1, 5, 1));
        assert!(matches!(
            Trail::begin(folder.path()),
            Err(FetchError::Taken(_))
        ));
    }
}
