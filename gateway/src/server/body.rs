//! Bodies with a clock: requests that drip are cut off, answers keep their connection busy.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::request::Busy;
use crate::clock;
use crate::telemetry::Metrics;

/// Slowest body we wait for on average, in bytes per second. One byte just before each time-out would otherwise hold
/// an upload for ever.
const RATE_BYTES_PER_SECOND_MIN: u64 = 1024;

/// A request body that is cut off when the client keeps us waiting. Only waiting counts: a client that is held back
/// by us (back-pressure of the scanner) is not slow.
#[derive(Debug)]
pub struct TimedBody<B> {
    body: B,
    idle: Duration,
    metrics: Arc<Metrics>,
    received: u64,
    /// Time spent waiting for this client so far.
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Why a request body ends early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError<E> {
    /// The connection failed under it.
    #[error("the request body was cut off")]
    Cut(#[source] E),
    /// Silence, or a drip.
    #[error("the request body came too slowly: {received} bytes in {waited_seconds} s of waiting")]
    Slow {
        /// Bytes that came.
        received: u64,
        /// Seconds we waited.
        waited_seconds: u64,
    },
}

impl<B> TimedBody<B> {
    /// Cuts `body` off when it is silent for `idle`, or slower on average than a modem.
    pub fn new(body: B, idle: Duration, metrics: Arc<Metrics>) -> Self {
        Self { body, idle, metrics, received: 0, waited: Duration::ZERO, waiting: None }
    }

    /// Waiting that what was received has paid for.
    fn allowance(&self) -> Duration {
        let earned = Duration::from_secs(self.received / RATE_BYTES_PER_SECOND_MIN);
        self.idle.min(self.idle.saturating_add(earned).saturating_sub(self.waited))
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = this.waiting.take() {
                    this.waited = this.waited.saturating_add(clock::elapsed(since));
                }
                if let Some(Ok(Some(data))) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref))
                {
                    let length = data.len() as u64;
                    this.received = this.received.saturating_add(length);
                    this.metrics.bytes_received.inc_by(length);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Cut)))
            }
            Poll::Pending => {
                let allowance = this.allowance();
                let start = || (clock::instant(), Box::pin(tokio::time::sleep(allowance)));
                let (since, timer) = this.waiting.get_or_insert_with(start);
                ready!(timer.as_mut().poll(context));
                let waited = this.waited.saturating_add(clock::elapsed(*since));
                let slow = BodyError::Slow { received: this.received, waited_seconds: waited.as_secs() };
                Poll::Ready(Some(Err(slow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response body during which its connection counts as busy.
pub(super) struct HeldBody {
    body: axum::body::Body,
    _busy: Busy,
}

impl HeldBody {
    pub(super) fn new(body: axum::body::Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
