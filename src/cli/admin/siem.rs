//! `wardcast admin siem`: shows what follows the audit trail besides the key store.

use clap::Subcommand;

use super::client::{Client, ClientError};
use super::table::Answer;

#[derive(Subcommand, Debug)]
pub(super) enum SiemCommand {
    /// Shows how far each of log server, OCSF collector and Splunk is behind, and what is wrong.
    Show,
}

pub(super) async fn answer(client: &Client, command: &SiemCommand) -> Result<Answer, ClientError> {
    match command {
        SiemCommand::Show => Ok(Answer::Sinks(client.siem().await?)),
    }
}
