//! What a member prints: one line an event, for people or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::group::ids::{Epoch, MemberId, Role, SenderId};

/// Longest label of an exported key, in bytes.
const MAX_LABEL: usize = 128;
/// Longest exported key, in bytes: what HKDF-SHA256 can give is 255 blocks of 32.
const MAX_EXPORT: usize = 8160;

/// A key to be exported from each epoch: `LABEL:LENGTH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) label: String,
    pub(super) length: usize,
}

impl FromStr for Export {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (label, length) = text
            .rsplit_once(':')
            .ok_or("write it as LABEL:LENGTH, as in \"srtp key:16\"")?;
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(format!("the label must have 1 to {MAX_LABEL} bytes"));
        }
        let length = length
            .parse()
            .ok()
            .filter(|length| (1..=MAX_EXPORT).contains(length));
        let length = length.ok_or(format!(
            "the length must be a number of bytes, 1 to {MAX_EXPORT}"
        ))?;
        Ok(Self {
            label: label.to_owned(),
            length,
        })
    }
}

/// Exported keys of an epoch in hexadecimal, by label.
pub(super) type Exports = BTreeMap<String, String>;

/// One thing that happened to the membership. In JSON, `event` names it.
#[derive(Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Line {
    /// The gateway granted membership.
    Joined {
        group: String,
        member: MemberId,
        role: Role,
        sender_ids: Vec<SenderId>,
    },
    /// The epoch's key is known: receive with it from now on.
    Installed {
        group: String,
        epoch: Epoch,
        exports: Exports,
        /// Whether it was heard at the group's multicast address; only told by members that listen.
        #[serde(skip_serializing_if = "Option::is_none")]
        multicast: Option<bool>,
    },
    /// Send with this epoch from now on, under these identifiers.
    Send {
        group: String,
        epoch: Epoch,
        sender_ids: Vec<SenderId>,
    },
    /// The epoch's key is forgotten: accept nothing under it any more.
    Retired { group: String, epoch: Epoch },
    /// The connection was lost; it is tried again, and the keys are still good.
    Disconnected { group: String, reason: String },
    /// The connection is back, the membership is the same.
    Resumed { group: String, epoch: Epoch },
    /// The gateway ended the membership.
    Removed { group: String, reason: String },
    /// The member left by its own will.
    Left { group: String },
}

impl Line {
    /// As one line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("a line has string keys only")
    }
}

/// Keys are shown because they were asked for, with `--export`; nothing else of the epoch's secret is.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = match self {
            Self::Joined { group, .. }
            | Self::Installed { group, .. }
            | Self::Send { group, .. }
            | Self::Retired { group, .. }
            | Self::Disconnected { group, .. }
            | Self::Resumed { group, .. }
            | Self::Removed { group, .. }
            | Self::Left { group } => group,
        };
        let (what, epoch) = match self {
            Self::Joined { .. } => ("joined", None),
            Self::Installed { epoch, .. } => ("installed", Some(epoch)),
            Self::Send { epoch, .. } => ("send with", Some(epoch)),
            Self::Retired { epoch, .. } => ("retired", Some(epoch)),
            Self::Disconnected { .. } => ("disconnected", None),
            Self::Resumed { epoch, .. } => ("resumed", Some(epoch)),
            Self::Removed { .. } => ("removed", None),
            Self::Left { .. } => ("left", None),
        };
        write!(f, "{group:<16} {what:<12}")?;
        if let Some(epoch) = epoch {
            write!(f, " epoch {epoch:<8}")?;
        }
        match self {
            Self::Joined {
                member,
                role,
                sender_ids,
                ..
            } => {
                write!(f, " member {member}, {role:?}")?;
                sender_ids
                    .iter()
                    .try_for_each(|id| write!(f, ", sender id {}", id.0))
            }
            Self::Installed { exports, .. } => exports
                .iter()
                .try_for_each(|(label, key)| write!(f, " {label} = {key}")),
            Self::Disconnected { reason, .. } | Self::Removed { reason, .. } => {
                write!(f, " {reason}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_a_label_and_a_length() {
        let export = |label: &str, length| {
            Ok(Export {
                label: label.to_owned(),
                length,
            })
        };
        assert_eq!("srtp key:16".parse(), export("srtp key", 16));
        assert_eq!("a:b:32".parse(), export("a:b", 32));
        for bad in [
            "", "key", ":16", "key:", "key:0", "key:-1", "key:8161", "key:1x",
        ] {
            assert!(bad.parse::<Export>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_the_same_for_people_and_programs() {
        let group = "studio".to_owned();
        let exports = Exports::from([("srtp key".to_owned(), "00ff".to_owned())]);
        let line = Line::Installed {
            group: group.clone(),
            epoch: Epoch(7),
            exports,
            multicast: None,
        };
        assert_eq!(
            line.json(),
            r#"{"event":"installed","group":"studio","epoch":7,"exports":{"srtp key":"00ff"}}"#
        );
        assert_eq!(
            line.to_string(),
            "studio           installed    epoch 7        srtp key = 00ff"
        );
        let line = Line::Removed {
            group,
            reason: "evicted: lost device".to_owned(),
        };
        assert_eq!(
            line.json(),
            r#"{"event":"removed","group":"studio","reason":"evicted: lost device"}"#
        );
        assert_eq!(
            line.to_string(),
            "studio           removed      evicted: lost device"
        );
    }
}
