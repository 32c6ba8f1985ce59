//! A record as a sentence, for people who read what a log server wrote.

use super::told::Told;

/// What happened, in a sentence.
pub(super) fn sentence(told: &Told) -> String {
    let of = |name: &str| told.text(name);
    let who = match &told.name {
        Some(name) => format!("{} {name}", told.actor),
        None => "the gateway".to_owned(),
    };
    match told.event.as_str() {
        "started" => format!("wardcast {} started", of("version")),
        "stopped" => "wardcast stopped in good order".to_owned(),
        "reloaded" => match told.field("refused") {
            Some(why) => {
                format!("what {who} had read anew cannot be used, and nothing changed: {why}")
            }
            None => format!("{who} had configuration and certificates read anew"),
        },
        "log_level" => format!("{who} has {} logged", of("level")),
        "draining" => format!("{who} sends the members away, and the gateway ends"),
        "unauthenticated" => {
            let (address, why) = (of("address"), of("why"));
            format!("a certificate shown from {address} was not taken: {why}")
        }
        "document" => match told.field("refused") {
            Some(why) => format!("a policy document about {} was refused: {why}", of("about")),
            None => format!("a policy document about {} is in force", of("about")),
        },
        "administered" => format!("{who} called {}, answered {}", of("call"), of("status")),
        "relayed" => {
            // Look-ups of several callers that are counted together are nobody's; the gateway itself asks for nothing.
            let who = match told.name {
                Some(_) => &who,
                None => "several callers",
            };
            format!("{who} asked for {}: {}", of("operation"), of("outcome"))
        }
        "denied" => format!("{} called {}, which it may not", of("identity"), of("call")),
        "interrupted" => {
            let (since, lost) = (of("since"), of("lost"));
            format!("the audit trail could not be written since {since}; {lost} records are lost")
        }
        "token_lost" => format!("no token is usable: {}", of("why")),
        "token_back" => "a token is usable again".to_owned(),
        "signed" => format!("the token signed the trail up to record {}", of("up_to")),
        "upstream_lost" => format!("the key store upstream is out of reach: {}", of("why")),
        "upstream_back" => {
            format!(
                "the key store upstream answers again after {} s",
                of("down_s")
            )
        }
        _ => of_group(told, &who),
    }
}

/// What happened to a group, or else what it is called.
fn of_group(told: &Told, who: &str) -> String {
    let of = |name: &str| told.text(name);
    let group = match &told.group {
        Some((_, name)) => format!("group {name:?}"),
        None => "no group".to_owned(),
    };
    match told.event.as_str() {
        "group_created" => format!("{who} created {group} with suite {}", of("suite")),
        "policy_changed" => format!("{who} changed the policy of {group}"),
        "frozen" => format!("{who} froze {group}: {}", of("why")),
        "thawed" => format!("{who} thawed {group}"),
        "group_destroyed" => format!("{who} destroyed {group}"),
        "joined" => {
            let (identity, role) = (of("identity"), of("role"));
            let (member, epoch) = (of("member"), of("epoch"));
            format!("{identity} is member {member} of {group} as {role} from epoch {epoch} on")
        }
        "departed" => {
            let (identity, reason) = (of("identity"), of("reason"));
            let (member, epoch) = (of("member"), of("epoch"));
            format!(
                "{identity} is no member of {group} any more from epoch {epoch} on (member {member}): {reason}"
            )
        }
        "rekeyed" => {
            let (joined, departed) = (of("joined"), of("departed"));
            let epoch = of("epoch");
            format!("{group} has epoch {epoch}: {joined} joined, {departed} departed")
        }
        "granted" => {
            let (identity, epoch) = (of("identity"), of("epoch"));
            format!("{identity} was granted keys of {group} in epoch {epoch}")
        }
        "refused" => {
            let (identity, role) = (of("identity"), of("role"));
            format!("{identity} was refused as {role} of {group}: {}", of("why"))
        }
        "upstream_ended" => {
            let (object, state) = (of("object"), of("state"));
            format!(
                "object {object} of {group} is {state} upstream; for it: {}",
                of("action")
            )
        }
        other => format!("{who}: {other}"),
    }
}
