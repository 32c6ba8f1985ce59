//! Objects that the store refuses for good are set aside: one of them must not hold up the life cycle of all others.
//!
//! What is set aside is in the ledger, in the log, in the metrics, and among what operators are shown. It is tried again after each start
//! and once in [`AGAIN`], until it is done or there is nothing to be done any more. A store that refuses everything is not taken for
//! one that refuses objects: beyond [`MOST`] of them nothing more is set aside, and what follows waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::gauge;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::apply::{Applier, Progress};
use super::ledger::{Ledger, LedgerError, on_disk, read, text};
use super::plan::{self, Begin, End};
use super::{Groups, Shared};
use crate::kmip::client::Register;
use crate::relay::SinkError;

/// How often in a row an object is refused before it is set aside: with the pauses between, most of a minute.
pub const REFUSALS: u32 = 8;
/// How many objects are set aside at most.
pub const MOST: usize = 256;
/// How often they are tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(3_600);

/// An object that the store refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// Its name.
    pub object: String,
    /// What is refused: `register`, `activate`, `revoke`, or `destroy_or_archive`.
    pub operation: String,
    /// Why, as the store says it.
    pub why: String,
    /// Since when (RFC 3339, UTC).
    pub since: String,
    /// It is to end, so; to begin if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<End>,
}

/// All that are set aside, for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct Asides(Arc<Mutex<Vec<Aside>>>);

impl Asides {
    /// Each of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Aside> {
        self.all(|all| all.clone())
    }

    fn all<T>(&self, look: impl FnOnce(&mut Vec<Aside>) -> T) -> T {
        // Nothing is left half done by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look(&mut all);
        gauge!("wardcast_lifecycle_set_aside").set(all.len() as f64);
        found
    }

    /// Those that an earlier life has set aside.
    pub(super) async fn load(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let kept = ledger.asides().await?;
        self.all(|all| *all = kept);
        Ok(())
    }

    /// Whether an operation on an object is left to be tried again later.
    pub(super) fn has(&self, object: &str, operation: &str) -> bool {
        let is = |own: &Aside| own.object == object && own.operation == operation;
        self.all(|all| all.iter().any(is))
    }

    /// Sets an object aside, if there is room; whether it is.
    pub(super) async fn put(&self, ledger: &Ledger, aside: Aside) -> Result<bool, LedgerError> {
        if self.all(|all| all.len()) >= MOST {
            return Ok(false);
        }
        let Aside {
            object,
            operation,
            why,
            ..
        } = &aside;
        tracing::error!(
            object, operation, %why,
            "the key store upstream refuses an object for good: it is set aside, and tried again after a start and every hour; see to it there"
        );
        ledger.put_aside(aside.clone()).await?;
        self.all(|all| {
            all.retain(|own| own.object != aside.object);
            all.push(aside);
            all.sort_by(|one, other| one.object.cmp(&other.object));
        });
        Ok(true)
    }

    async fn done(&self, ledger: &Ledger, object: &str) -> Result<(), LedgerError> {
        ledger.take_back(object).await?;
        self.all(|all| all.retain(|own| own.object != object));
        Ok(())
    }
}

/// One that is refused now.
pub(super) fn refused(object: &str, operation: &str, why: &str, end: Option<End>) -> Aside {
    let since = OffsetDateTime::now_utc().format(&Rfc3339);
    Aside {
        object: object.to_owned(),
        operation: operation.to_owned(),
        why: why.to_owned(),
        since: since.unwrap_or_default(),
        end,
    }
}

/// Tries all of them again.
///
/// # Errors
/// When the store cannot be reached, or the ledger not be used.
pub(super) async fn retry<G: Groups>(shared: &Shared<G>) -> Result<(), SinkError> {
    for aside in shared.asides.list() {
        let _turn = shared.turn.lock().await;
        match again(shared, &aside).await {
            Ok(()) => {
                shared
                    .asides
                    .done(&shared.ledger, &aside.object)
                    .await
                    .map_err(on_disk)?;
                tracing::info!(object = aside.object, "an object is not set aside any more");
            }
            Err(SinkError::Refused(why)) => {
                tracing::error!(object = aside.object, %why, "the key store upstream refuses an object still");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Does once more what was refused; nothing if it is not to be done any more.
async fn again<G: Groups>(shared: &Shared<G>, aside: &Aside) -> Result<(), SinkError> {
    let mut progress = Progress {
        uncertain: true,
        last_try: true,
        ..Progress::default()
    };
    let mut applier = Applier::new(shared, &mut progress);
    if let Some(end) = &aside.end {
        return applier.run(&[], std::slice::from_ref(end)).await;
    }
    let known = shared
        .ledger
        .of_object(&aside.object)
        .await
        .map_err(on_disk)?;
    let Some(mut known) = known else {
        return Ok(());
    };
    let begin = plan::begun(&shared.names, &known, &aside.object, &aside.since);
    let begin: Vec<Begin> = begin.into_iter().collect();
    let registers = applier.objects(&begin).await?;
    let names = begin.iter().map(|begin| begin.name.as_str());
    let registers: Vec<(&str, Register)> = names.zip(registers).collect();
    applier.run(&registers, &[]).await?;
    let ids: &HashMap<String, String> = &progress.ids;
    for object in known.objects_mut() {
        if object.id.is_none() {
            object.id = ids.get(&object.name).cloned();
        }
    }
    shared.ledger.put(known).await.map_err(on_disk)
}

impl Ledger {
    async fn asides(&self) -> Result<Vec<Aside>, LedgerError> {
        self.with(|ledger| {
            let mut query = ledger.prepare("SELECT aside FROM aside ORDER BY object")?;
            let found = query.query_map([], |row| row.get::<_, String>(0))?;
            found.map(|aside| read(&aside?)).collect()
        })
        .await
    }

    async fn put_aside(&self, aside: Aside) -> Result<(), LedgerError> {
        self.with(move |ledger| {
            let insert = "INSERT OR REPLACE INTO aside (object, aside) VALUES (?1, ?2)";
            ledger.execute(insert, params![aside.object, text(&aside)?])?;
            Ok(())
        })
        .await
    }

    async fn take_back(&self, object: &str) -> Result<(), LedgerError> {
        let object = object.to_owned();
        self.with(move |ledger| {
            ledger.execute("DELETE FROM aside WHERE object = ?1", [object])?;
            Ok(())
        })
        .await
    }
}
