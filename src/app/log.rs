//! Logs on standard error, and what of them there is, which may become another while the gateway runs.

use std::io::IsTerminal;

use tokio::time::Instant;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::admin::api::LogView;
use crate::config::{Log, LogFormat, check_level};

/// What a gateway logs.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    configured: String,
    /// What an operator asked for, and until when.
    asked: Option<(String, Option<Instant>)>,
}

/// What takes a part of what is said.
pub type Taker = Box<dyn Layer<Registry> + Send + Sync>;

/// Logs to standard error as configured; `beside` takes a part of its own, whatever is logged.
pub fn start(log: &Log, beside: Option<Taker>) -> Logging {
    // Loading has checked the directives.
    let filter = filter(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Taker = match log.format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let takers: Vec<Taker> = [Some(lines), beside].into_iter().flatten().collect();
    tracing_subscriber::registry().with(takers).init();
    Logging {
        filter: handle,
        configured: log.level.clone(),
        asked: None,
    }
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    check_level(directives)?;
    let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
    // It takes each mechanism of a token that it has no name for, dozens of them, for an error.
    let quiet = "cryptoki::mechanism=off".parse();
    Ok(quiet.map_or(filter.clone(), |quiet| filter.add_directive(quiet)))
}

impl Logging {
    /// What an operator asks for, until then, or for good; what is configured if he asks for nothing.
    pub(super) fn ask(
        &mut self,
        level: Option<String>,
        until: Option<Instant>,
    ) -> Result<(), String> {
        self.take(level.as_deref().unwrap_or(&self.configured))?;
        self.asked = level.map(|level| (level, until));
        Ok(())
    }

    /// Another configuration. What was asked for ends, if it is another level.
    pub(super) fn configure(&mut self, level: &str) -> Result<(), String> {
        if level == self.configured {
            return Ok(());
        }
        self.take(level)?;
        level.clone_into(&mut self.configured);
        self.asked = None;
        Ok(())
    }

    /// When what was asked for ends.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.asked.as_ref()?.1
    }

    /// How it is.
    pub(super) fn view(&self) -> LogView {
        let (level, until) = match &self.asked {
            Some((level, until)) => (level, *until),
            None => (&self.configured, None),
        };
        LogView {
            level: level.clone(),
            configured: self.configured.clone(),
            for_s: until.map(|until| {
                let left = until.saturating_duration_since(Instant::now());
                u64::try_from(left.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
            }),
        }
    }

    fn take(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)?;
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())
    }
}
