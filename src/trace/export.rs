//! Tells a collector of spans, by OTLP over HTTP, from a thread of its own: whoever ends a span puts it into a bounded queue and goes on.
//!
//! What the collector does not take is lost, which is counted and said: no request and no rekey waits for it. What [has no
//! room](super::queue) because it takes spans too slowly is lost and counted likewise.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::TARGET;
use super::queue::{self, Queue, Waiting};

/// What all spans say that they are of.
const SERVICE: &str = "wardcast";
/// Within this a collector answers.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest answer of one, in bytes: it has little to say.
const MAX_ANSWER: usize = 64 << 10;
/// How long a gateway that ends waits for it.
const LAST: Duration = Duration::from_secs(5);

/// Where spans go, and how many.
#[derive(Clone, Debug)]
pub struct Options {
    /// The collector: an URL, such as `http://localhost:4318/v1/traces`.
    pub endpoint: String,
    /// The share of traces that are told, from 0 to 1, where nobody decided before.
    pub ratio: f64,
}

/// Why spans cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The client cannot be made.
    #[error("[trace] cannot make a client: {0}")]
    Client(#[source] reqwest::Error),
    /// The exporter cannot.
    #[error("[trace] endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What tells spans. It goes on until it is stopped.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Begins; nothing is sent before there is a span. What is sent is sent on this runtime, which must outlive it.
    ///
    /// # Errors
    /// When the endpoint is none.
    pub fn start(options: &Options, tls: ClientConfig) -> Result<Self, TraceError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(tls)?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(options.endpoint.clone())
            .with_timeout(DEADLINE)
            .build()?;
        let sampler = Sampler::TraceIdRatioBased(options.ratio);
        let resource = Resource::builder()
            .with_service_name(SERVICE)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let waiting = Waiting::default();
        let told = Told {
            exporter,
            failing: AtomicBool::new(false),
            waiting: waiting.clone(),
        };
        let batches = BatchSpanProcessor::builder(told).with_batch_config(queue::room());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue::new(batches.build(), waiting))
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource.build());
        Ok(Exporter {
            provider: provider.build(),
        })
    }

    /// What takes spans of [`TARGET`] from whoever makes them.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let only = Targets::new().with_target(TARGET, LevelFilter::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(only)
    }

    /// Tells what is left, if the collector takes it. It blocks for some seconds at most.
    pub fn stop(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last traces were not told");
        }
    }
}

/// The HTTP client that is here already, on the gateway's own runtime: the exporter's thread has none.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

impl Client {
    fn new(tls: ClientConfig) -> Result<Self, TraceError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Client {
            http: http.build().map_err(TraceError::Client)?,
            runtime: Handle::current(),
        })
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Client {
    fn send_bytes<'own, 'answer>(&'own self, request: Request<Bytes>) -> Answer<'answer>
    where
        'own: 'answer,
        Self: 'answer,
    {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let mut answer = http.execute(request.try_into()?).await?;
            let mut body = BytesMut::new();
            while let Some(part) = answer.chunk().await? {
                if body.len() + part.len() > MAX_ANSWER {
                    return Err(HttpError::from(ResponseBodyTooLarge::new()));
                }
                body.extend_from_slice(&part);
            }
            let mut response = Response::new(body.freeze());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            Ok(response)
        });
        Box::pin(async { sent.await? })
    }
}

/// The exporter, and whether it works: said once, not with every batch.
#[derive(Debug)]
struct Told {
    exporter: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
    waiting: Waiting,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.leave(spans);
        let done = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(done.is_err(), Ordering::Relaxed);
        match &done {
            Ok(()) if failed_before => tracing::info!("the collector takes traces again"),
            Ok(()) => {}
            Err(error) => {
                metrics::counter!("wardcast_trace_lost_total").increment(spans as u64);
                if !failed_before {
                    tracing::warn!(%error, "the collector does not take traces; they are lost until it does");
                }
            }
        }
        done
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
