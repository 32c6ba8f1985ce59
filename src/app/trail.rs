//! The audit trail of the process: its start, and what no request says.

use std::sync::Arc;
use std::time::Duration;

use super::{AppError, blocking};
use crate::audit::{Audit, Entry, Event, Options};
use crate::config::Config;
use crate::hsm::{Pool, PoolState};

/// How often it is looked how the tokens are.
const LOOK: Duration = Duration::from_secs(1);

/// Opens the trail, and says on it that the gateway starts.
pub(super) async fn open(config: &Config) -> Result<Audit, AppError> {
    let bytes = u64::from(config.audit.max_mb) << 20;
    let options = Options::new(config.audit_directory(), bytes);
    let audit = blocking(move || Audit::open(&options)).await?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let started = Entry::of_gateway(Event::Started { version });
    audit.note(vec![started]).await;
    Ok(audit)
}

/// Puts on record when no token is usable any more, and when one is again; until the pool is closed.
pub(super) fn watch(tokens: Arc<Pool>, audit: Audit) {
    tokio::spawn(async move {
        let mut usable = true;
        loop {
            tokio::time::sleep(LOOK).await;
            let event = match tokens.status().state {
                PoolState::Closed => return,
                PoolState::Usable if !usable => Event::TokenBack,
                PoolState::Unusable(why) if usable => Event::TokenLost {
                    why: why.to_string(),
                },
                _ => continue,
            };
            usable = event == Event::TokenBack;
            audit.note(vec![Entry::of_gateway(event)]).await;
        }
    });
}
