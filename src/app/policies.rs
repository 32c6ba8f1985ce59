//! Policy documents: those that were kept, and those that the key store upstream has.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::AppError;
use crate::audit::Audit;
use crate::config::Config;
use crate::engine::Handle;
use crate::kmip::client::Client;
use crate::policy::Decider;
use crate::policy::documents::Book;
use crate::relay::Bell;
use crate::relay::documents::{Documents, Options, restore};

/// Beside the store.
const KEPT: &str = "policies.json";

fn kept(config: &Config) -> PathBuf {
    config.store.path.with_file_name(KEPT)
}

/// What is configured, and over it what was kept of the key store's documents, if there is one.
pub(super) fn book(config: &Config, decider: &Arc<Decider>) -> Result<Arc<Book>, AppError> {
    let book = Book::new(config.policy.default.clone(), decider.clone());
    if !config.upstream.addresses.is_empty() {
        let path = kept(config);
        restore(&path, &book).map_err(|source| AppError::Policies { path, source })?;
    }
    Ok(Arc::new(book))
}

/// Follows the key store's documents, until the set is dropped.
pub(super) fn follow(
    (client, options): (Option<Client>, Options),
    (engine, audit): (&Handle, &Audit),
    book: &Arc<Book>,
    bell: Option<&Bell>,
) -> JoinSet<()> {
    let mut following = JoinSet::new();
    if let Some((client, bell)) = client.zip(bell) {
        let needs = (engine.clone(), audit.clone());
        let hints = bell.hints("policies");
        let documents = Documents::new(client, needs, book.clone(), (options, hints));
        following.spawn(documents.run());
    }
    following
}

/// Where the documents are, and who asks for them.
pub(super) fn options(config: &Config, client: Option<Client>) -> (Option<Client>, Options) {
    let options = Options {
        name: config.upstream.name.clone(),
        every: Duration::from_secs(config.upstream.poll_s.into()),
        file: kept(config),
    };
    (client, options)
}
