//! What is done to the gateway as a whole.

use serde::{Deserialize, Serialize};

/// What came of reading the configuration, and the files that it names, anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadView {
    /// The keys whose values, or whose files, are others from now on.
    pub applied: Vec<String>,
    /// The keys whose values or files are others, and need a restart.
    pub needs_restart: Vec<String>,
}

/// Has the gateway send its members away, and end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartDrain {
    /// Where members are told to go, as HOST:PORT; where `listen.drain_to` says if empty.
    #[serde(default)]
    pub to: Vec<String>,
    /// Within how many seconds the gateway ends; `listen.drain_s` if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_s: Option<u32>,
}

/// A gateway that ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    /// Where members are told to go; to this gateway again if empty.
    pub to: Vec<String>,
    /// Within how many seconds it ends.
    pub within_s: u32,
}

/// Has something else logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLog {
    /// A level, or directives, as `log.level`; what is configured if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// For how many seconds, and what is configured after that; until the next restart or reload of another level if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u32>,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogView {
    /// Now.
    pub level: String,
    /// As configured.
    pub configured: String,
    /// For how many seconds still, if not for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
}
