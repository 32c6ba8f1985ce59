//! `wardcast admin upstream`: shows the key store upstream.

use clap::Subcommand;

use super::client::{Client, ClientError};
use super::table::Answer;

#[derive(Subcommand, Debug)]
pub(super) enum UpstreamCommand {
    /// Shows whether it answers, since when it does not and why, and how far what is relayed to it is behind.
    Show,
}

pub(super) async fn answer(
    client: &Client,
    command: &UpstreamCommand,
) -> Result<Answer, ClientError> {
    match command {
        UpstreamCommand::Show => Ok(Answer::Upstream(Box::new(client.upstream().await?))),
    }
}
