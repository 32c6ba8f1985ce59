//! `wardcast admin token`: shows the tokens, rotates their master and waits until that is done.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use super::client::{Client, ClientError};
use super::table::Answer;
use crate::admin::api::{RotationView, TokenView};

/// How often a rotation is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Shows each token: its state, its masters and suites, what waits for it.
    Show,
    /// Rolls every group onto a new master key, then destroys the old one: keys from before can never be derived again,
    /// whoever gets hold of the token and of the gateway's disk. Members are granted their keys anew, in the background.
    RotateMaster {
        /// How many members are given new keys in a second.
        #[arg(long)]
        members_per_second: Option<u32>,
        /// Return at once; `token show` tells how it is getting on.
        #[arg(long)]
        no_wait: bool,
    },
}

pub(super) async fn answer(
    client: &Client,
    command: &TokenCommand,
    json: bool,
) -> Result<Answer, ClientError> {
    match command {
        TokenCommand::Show => Ok(Answer::Token(Box::new(client.token().await?))),
        TokenCommand::RotateMaster {
            members_per_second,
            no_wait,
        } => {
            let begun = client.rotate_master(*members_per_second).await?;
            match no_wait {
                true => Ok(Answer::Token(Box::new(begun))),
                false => wait(client, json).await,
            }
        }
    }
}

/// Looks until the rotation is over, with a bar for people.
async fn wait(client: &Client, json: bool) -> Result<Answer, ClientError> {
    let bar = match !json && std::io::stderr().is_terminal() {
        true => ProgressBar::new(0).with_style(style()),
        false => ProgressBar::hidden(),
    };
    loop {
        let token = client.token().await?;
        let Some(rotation) = token.rotation.clone() else {
            // It was restarted meanwhile.
            return Err(ClientError::Unfinished {
                why: "the gateway was restarted".to_owned(),
            });
        };
        bar.set_length(rotation.groups as u64);
        bar.set_position(rotation.rolled as u64);
        bar.set_message(rotation.phase.clone());
        if rotation.is_over() {
            bar.finish_and_clear();
            return ended(token, rotation);
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn ended(token: TokenView, rotation: RotationView) -> Result<Answer, ClientError> {
    match rotation.error {
        Some(why) => Err(ClientError::Unfinished { why }),
        None => Ok(Answer::Token(Box::new(token))),
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} groups, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
