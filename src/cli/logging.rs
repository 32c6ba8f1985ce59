//! Logs to standard error, and traces to a collector, as configured.

use crate::app::{self, Logging};
use crate::config::{Log, Trace};

/// Logs to standard error as configured.
pub(super) fn start(log: &Log) -> Logging {
    app::start_logging(log, None)
}

/// What tells traces, as long as there is something to trace.
#[derive(Default)]
pub(super) struct Traces {
    #[cfg(feature = "otlp")]
    exporter: Option<crate::trace::Exporter>,
}

impl Traces {
    /// Tells what is left. It blocks for some seconds at most.
    pub(super) fn stop(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter {
            exporter.stop();
        }
    }
}

/// The same, and traces.
#[cfg(feature = "otlp")]
pub(super) fn start_with_traces(log: &Log, trace: &Trace) -> Result<(Logging, Traces), String> {
    use tracing_subscriber::Layer;

    use crate::tls::{Trust, anonymous_client_config};
    use crate::trace::{Exporter, Options};

    if trace.endpoint.is_empty() {
        return Ok((start(log), Traces::default()));
    }
    let trust = match trace.ca.as_os_str().is_empty() {
        true => Trust::system(),
        false => Trust::load(&trace.ca, &[]),
    };
    let failed = |error: &dyn std::fmt::Display| format!("[trace] {error}");
    let tls = trust.and_then(|trust| anonymous_client_config(&trust, &[]));
    let tls = tls.map_err(|error| failed(&error))?;
    let options = Options {
        endpoint: trace.endpoint.clone(),
        ratio: trace.ratio,
    };
    let exporter = Exporter::start(&options, tls).map_err(|error| error.to_string())?;
    let logging = app::start_logging(log, Some(exporter.layer().boxed()));
    let traces = Traces {
        exporter: Some(exporter),
    };
    Ok((logging, traces))
}

/// The same; loading has refused an endpoint.
#[cfg(not(feature = "otlp"))]
pub(super) fn start_with_traces(log: &Log, _trace: &Trace) -> Result<(Logging, Traces), String> {
    Ok((start(log), Traces::default()))
}
