//! `wardcast admin health`, `reload`, `drain` and `log`: the gateway as a whole.

use std::time::Duration;

use clap::Subcommand;

use super::client::{Client, ClientError};
use super::table::Answer;
use crate::admin::api::{SetLog, StartDrain};
use crate::group::wire::is_address;

#[derive(Subcommand, Debug)]
pub(super) enum GatewayCommand {
    /// Shows whether the gateway is ready, and all that stands against it. The exit code tells nothing but that it answered.
    Health,
    /// Has the gateway read its configuration anew, and the certificates, revocation lists, tokens and rules that it names, with what it
    /// shows to others. Connections of members stay; what needs a restart is named. If anything of it cannot be used, nothing is changed. Whoever was revoked is a member still: evict him.
    Reload,
    /// Sends the members away and ends the gateway: nobody is taken on any more, rekeys that are under way end, and each member is told
    /// to come back at another moment.
    Drain {
        /// Where members are told to go, as HOST:PORT, instead of listen.drain_to; may be repeated.
        #[arg(long, value_name = "HOST:PORT", value_parser = address)]
        to: Vec<String>,
        /// Within how many seconds the gateway ends, instead of listen.drain_s.
        #[arg(long, value_name = "SECONDS")]
        within: Option<u32>,
    },
    /// Shows what is logged, or has something else logged.
    Log {
        /// A level or directives, such as `debug` or `info,wardcast::quic=debug`; `configured` for what is configured.
        level: Option<String>,
        /// For how long, such as 90s, 10m or 1h; then what is configured is logged again. Without it until a restart.
        #[arg(long = "for", value_name = "TIME", value_parser = time, requires = "level")]
        time: Option<Duration>,
    },
}

pub(super) async fn answer(
    client: &Client,
    command: &GatewayCommand,
) -> Result<Answer, ClientError> {
    Ok(match command {
        GatewayCommand::Health => Answer::Told(client.health().await?),
        GatewayCommand::Reload => Answer::Told(told(&client.reload().await?)),
        GatewayCommand::Drain { to, within } => {
            let drain = StartDrain {
                to: to.clone(),
                within_s: *within,
            };
            Answer::Told(told(&client.drain(&drain).await?))
        }
        GatewayCommand::Log { level: None, .. } => Answer::Told(told(&client.log().await?)),
        GatewayCommand::Log { level, time } => {
            let wanted = SetLog {
                level: level.clone().filter(|level| level != "configured"),
                // What is asked for is at most a day, which the gateway says.
                for_s: time.map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
            };
            Answer::Told(told(&client.set_log(&wanted).await?))
        }
    })
}

fn told(view: &impl serde::Serialize) -> serde_json::Value {
    serde_json::json!(view)
}

fn address(text: &str) -> Result<String, String> {
    match is_address(text) {
        true => Ok(text.to_owned()),
        false => Err("must be HOST:PORT, such as gateway.example.org:7443".to_owned()),
    }
}

/// A whole number of seconds, minutes or hours.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number with s, m or h, such as 10m".to_owned();
    let units = [('s', 1), ('m', 60), ('h', 3_600)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(*unit)?.parse::<u64>().ok()?;
        Some((number, *seconds))
    });
    let (number, seconds) = found.ok_or_else(wrong)?;
    match number.checked_mul(seconds) {
        Some(0) | None => Err(wrong()),
        Some(all) => Ok(Duration::from_secs(all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h", 3_600)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "-1s",
            "1.5h",
            "0s",
            "99999999999999999999s",
            "1d",
            "1ss",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
