//! `[trace]`: where a collector of traces is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[trace]`: a collector of traces (OpenTelemetry), by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// Its URL, such as `http://localhost:4318/v1/traces`; nothing is traced if empty.
    pub endpoint: String,
    /// The share of traces that it is told, from 0 to 1.
    pub ratio: f64,
    /// The authorities that its certificate may be from (PEM); those that the system trusts if empty.
    pub ca: PathBuf,
}

impl Default for Trace {
    fn default() -> Self {
        Trace {
            endpoint: String::new(),
            ratio: 0.01,
            ca: PathBuf::new(),
        }
    }
}

impl Trace {
    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        std::iter::once(&mut self.ca).filter(|path| !path.as_os_str().is_empty())
    }
}
