//! Spans that wait for their collector: so many at most, and those that come beyond are lost, which is counted.
//!
//! The SDK's own queue drops what it has no room for and tells no program. So nothing is put into it that it may have no room for: a span
//! counts as waiting from before it is put in until after it was taken out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfig, BatchConfigBuilder, Span, SpanData, SpanProcessor};

/// Spans that wait at most: those of some hundred changes.
const MOST: usize = 2_048;

/// How many spans wait. All that clone it count the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// One more, if there is room.
    fn enter(&self) -> bool {
        let more = |waiting: usize| (waiting < MOST).then_some(waiting + 1);
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        entered.is_ok()
    }

    /// So many were taken out.
    pub(super) fn leave(&self, spans: usize) {
        self.0.fetch_sub(spans, Ordering::AcqRel);
    }
}

/// How large a queue the SDK has to make.
pub(super) fn room() -> BatchConfig {
    BatchConfigBuilder::default()
        .with_max_queue_size(MOST)
        .build()
}

/// In front of the SDK's queue.
#[derive(Debug)]
pub(super) struct Queue<P> {
    queue: P,
    waiting: Waiting,
}

impl<P: SpanProcessor> Queue<P> {
    /// In front of a queue that says by `waiting` what was taken out of it.
    pub(super) fn new(queue: P, waiting: Waiting) -> Self {
        Queue { queue, waiting }
    }
}

impl<P: SpanProcessor> SpanProcessor for Queue<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        match self.waiting.enter() {
            true => self.queue.on_end(span),
            false => metrics::counter!("wardcast_trace_lost_total").increment(1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// A queue of which nothing is taken out.
    #[derive(Clone, Debug, Default)]
    struct Stuck(Arc<AtomicUsize>);

    impl SpanProcessor for Stuck {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, _: SpanData) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn spans_that_have_no_room_are_counted_and_there_is_room_once_some_were_taken_out() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (stuck, waiting) = (Stuck::default(), Waiting::default());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue::new(stuck.clone(), waiting.clone()))
            .build();
        let tracer = provider.tracer("test");
        let spans = |count| {
            metrics::with_local_recorder(&recorder, || {
                (0..count).for_each(|_| tracer.start("span").end());
            });
        };
        spans(MOST + 5);
        let put = || stuck.0.load(Ordering::Relaxed);
        assert_eq!(put(), MOST);
        waiting.leave(3);
        spans(4);
        assert_eq!(put(), MOST + 3);
        let text = recorder.handle().render();
        let lost = "wardcast_trace_lost_total 6\n";
        assert!(text.contains(lost), "{text}");
    }
}
