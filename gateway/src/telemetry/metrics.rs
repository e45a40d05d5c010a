//! What operators watch: work, resources and errors, in the OpenMetrics text form.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the latency histogram, in seconds: a warm pull takes micro-, a layer push takes minutes.
const LATENCY_BUCKETS: [f64; 12] =
    [0.000_25, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// A kind of request. Fixed, so that no client can invent time series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/admission/…`
    Admission,
    /// `/v2/NAME/blobs/DIGEST`
    Blob,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/NAME/manifests/REFERENCE`
    Manifest,
    /// `/healthz`, `/readyz`, `/metrics`
    Operations,
    /// Anything else.
    Other,
    /// `/v2/`
    Ping,
    /// `/v2/NAME/referrers/DIGEST`
    Referrers,
    /// `/v2/NAME/tags/list`
    Tags,
    /// `/token`
    Token,
    /// `/v2/NAME/blobs/uploads/…`
    Upload,
}

impl Route {
    /// Sorts a path for counting only; routing is the router's.
    pub fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/v2/") else {
            return match path {
                "/healthz" | "/metrics" | "/readyz" => Self::Operations,
                "/token" => Self::Token,
                "/v2" => Self::Ping,
                _ if path.starts_with("/admission/") => Self::Admission,
                _ => Self::Other,
            };
        };
        // From the right: a repository may be named `manifests` or `blobs`.
        let mut segments = rest.rsplit('/');
        let (last, before, third) = (segments.next(), segments.next(), segments.next());
        match (third, before, last) {
            (None, None, Some("")) => Self::Ping,
            (None, None, Some("_catalog")) => Self::Catalog,
            (_, Some("tags"), Some("list")) => Self::Tags,
            (_, Some("manifests"), _) => Self::Manifest,
            (_, Some("referrers"), _) => Self::Referrers,
            (Some("blobs"), Some("uploads"), _) | (_, Some("blobs"), Some("uploads")) => Self::Upload,
            (_, Some("blobs"), _) => Self::Blob,
            _ => Self::Other,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Blob => "blob",
            Self::Catalog => "catalog",
            Self::Manifest => "manifest",
            Self::Operations => "operations",
            Self::Other => "other",
            Self::Ping => "ping",
            Self::Referrers => "referrers",
            Self::Tags => "tags",
            Self::Token => "token",
            Self::Upload => "upload",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    checkpoint: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    check: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrustRootLabels {
    root: String,
}

/// How old a fetched trust root is, and how long it still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustRootTimes {
    /// Since its repository was last asked.
    pub age_seconds: i64,
    /// Until it no longer counts; negative since then.
    pub left_seconds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    source: &'static str,
}

/// Checks that may appear as a label. A reason's check is ours, never a client's; the cap is a second wall.
const CHECK_LABELS_MAX: usize = 64;

/// All metrics of one gateway. The fields are the handles: `metrics.uploads_in_flight.inc()`.
#[derive(Debug)]
pub struct Metrics {
    /// Age of the advisories in use, in seconds; -1 without advisories.
    pub advisory_age_seconds: Gauge,
    /// YARA rules in force.
    pub yara_rules: Gauge,
    /// Body bytes received.
    pub bytes_received: Counter,
    /// Body bytes sent.
    pub bytes_sent: Counter,
    /// Connections open now.
    pub connections: Gauge,
    /// Requests whose handler panicked: each is a bug.
    pub panics: Counter,
    /// Bytes received and not scanned yet.
    pub scan_behind_bytes: Gauge,
    /// Jobs waiting for a scan thread.
    pub scan_queue_depth: Gauge,
    /// Scan threads at work.
    pub scan_threads_busy: Gauge,
    /// Blobs in the store.
    pub store_blobs: Gauge,
    /// Bytes of all blobs in the store.
    pub store_bytes: Gauge,
    /// Uploads that have begun and not ended.
    pub uploads_in_flight: Gauge,
    errors: Family<ErrorLabels, Counter>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
    reasons: Family<ReasonLabels, Counter>,
    reason_labels: std::sync::Mutex<std::collections::BTreeSet<String>>,
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    trust_root_age: Family<TrustRootLabels, Gauge>,
    trust_root_left: Family<TrustRootLabels, Gauge>,
    verdicts: Family<VerdictLabels, Counter<u64, AtomicU64>>,
}

/// Counts what is going on in a gauge, however it ends: also by a panic, or because nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            advisory_age_seconds: Gauge::default(),
            yara_rules: Gauge::default(),
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            connections: Gauge::default(),
            panics: Counter::default(),
            scan_behind_bytes: Gauge::default(),
            scan_queue_depth: Gauge::default(),
            scan_threads_busy: Gauge::default(),
            store_blobs: Gauge::default(),
            store_bytes: Gauge::default(),
            uploads_in_flight: Gauge::default(),
            errors: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            reasons: Family::default(),
            reason_labels: std::sync::Mutex::default(),
            registry: Registry::with_prefix("portcullis"),
            requests: Family::default(),
            trust_root_age: Family::default(),
            trust_root_left: Family::default(),
            verdicts: Family::default(),
        };
        metrics.advisory_age_seconds.set(-1);
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "Time from request to the start of the answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.latency.clone());
        registry.register("received_bytes", "Body bytes received", self.bytes_received.clone());
        registry.register("sent_bytes", "Body bytes sent", self.bytes_sent.clone());
        registry.register("connections", "Connections open now", self.connections.clone());
        registry.register("verdicts", "Answers of the gate", self.verdicts.clone());
        registry.register("denial_reasons", "Reasons given in denials, by check", self.reasons.clone());
        registry.register("errors", "Questions that could not be answered", self.errors.clone());
        registry.register("panics", "Requests whose handler panicked", self.panics.clone());
        registry.register("uploads_in_flight", "Uploads begun and not ended", self.uploads_in_flight.clone());
        registry.register(
            "scan_behind_bytes",
            "Bytes received and not scanned yet",
            self.scan_behind_bytes.clone(),
        );
        registry.register("scan_threads_busy", "Scan threads at work", self.scan_threads_busy.clone());
        registry.register(
            "scan_queue_depth",
            "Jobs waiting for a scan thread",
            self.scan_queue_depth.clone(),
        );
        registry.register("store_blobs", "Blobs in the store", self.store_blobs.clone());
        registry.register("store_bytes", "Bytes of all blobs in the store", self.store_bytes.clone());
        let help = "Age of the advisories in use in seconds, -1 without advisories";
        registry.register("advisory_age_seconds", help, self.advisory_age_seconds.clone());
        registry.register("yara_rules", "YARA rules in force", self.yara_rules.clone());
        let help = "Seconds since a trust root was confirmed, -1 before it was fetched";
        registry.register("trust_root_age_seconds", help, self.trust_root_age.clone());
        let help = "Seconds until a trust root no longer counts, negative since then";
        registry.register("trust_root_left_seconds", help, self.trust_root_left.clone());
    }

    /// Counts one answered request.
    pub fn request(&self, route: Route, method: &http::Method, status: u16, duration: Duration) {
        let labels =
            RequestLabels { route: route.label(), method: method_label(method), status: class(status) };
        self.requests.get_or_create(&labels).inc();
        self.latency.get_or_create(&RouteLabels { route: route.label() }).observe(duration.as_secs_f64());
    }

    /// Counts one answer of the gate. `checks`: the checks named by a denial's reasons; empty when allowed.
    pub fn verdict<'a>(
        &self,
        checkpoint: crate::gate::Checkpoint,
        allowed: bool,
        checks: impl IntoIterator<Item = &'a str>,
    ) {
        use crate::gate::Checkpoint;
        let checkpoint = match checkpoint {
            Checkpoint::Admit => "admit",
            Checkpoint::Pull => "pull",
            Checkpoint::Push => "push",
            Checkpoint::Release => "release",
        };
        let outcome = if allowed { "allowed" } else { "denied" };
        self.verdicts.get_or_create(&VerdictLabels { checkpoint, outcome }).inc();
        for check in checks {
            let check = self.bounded(check);
            self.reasons.get_or_create(&ReasonLabels { check }).inc();
        }
    }

    /// Counts a question that could not be answered. `source`: whose fault, or which part (`storage`, `scan`, …).
    pub fn error(&self, source: &'static str) {
        self.errors.get_or_create(&ErrorLabels { source }).inc();
    }

    /// Writes down the times of each trust root of the policy; `None`: it was never fetched. The policy bounds how many
    /// there are, and those that it no longer has are forgotten.
    pub fn trust_roots(&self, times: impl Iterator<Item = (String, Option<TrustRootTimes>)>) {
        self.trust_root_age.clear();
        self.trust_root_left.clear();
        for (root, times) in times {
            let labels = TrustRootLabels { root };
            let TrustRootTimes { age_seconds, left_seconds } =
                times.unwrap_or(TrustRootTimes { age_seconds: -1, left_seconds: 0 });
            self.trust_root_age.get_or_create(&labels).set(age_seconds);
            self.trust_root_left.get_or_create(&labels).set(left_seconds);
        }
    }

    /// All metrics as text, for `/metrics`.
    ///
    /// # Errors
    /// When a metric cannot be written, which would be a mistake of ours.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(8 * 1024);
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn bounded(&self, check: &str) -> String {
        let mut known = self.reason_labels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.contains(check) {
            return check.to_owned();
        }
        if known.len() >= CHECK_LABELS_MAX {
            return "other".to_owned();
        }
        known.insert(check.to_owned());
        check.to_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "DELETE" => "DELETE",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PATCH" => "PATCH",
        "POST" => "POST",
        "PUT" => "PUT",
        _ => "other",
    }
}

fn class(status: u16) -> &'static str {
    match status {
        200..300 => "2xx",
        300..400 => "3xx",
        401 => "401",
        403 => "403",
        404 => "404",
        400..500 => "4xx",
        500.. => "5xx",
        _ => "1xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_sorted_from_the_right() {
        for (path, expected) in [
            ("/v2/", Route::Ping),
            ("/v2", Route::Ping),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/manifests/latest", Route::Manifest),
            ("/v2/a/b/c/manifests/sha256:00", Route::Manifest),
            ("/v2/blobs/manifests/1", Route::Manifest),
            ("/v2/manifests/blobs/sha256:00", Route::Blob),
            ("/v2/a/blobs/uploads/", Route::Upload),
            ("/v2/a/blobs/uploads", Route::Upload),
            ("/v2/a/blobs/uploads/7d3", Route::Upload),
            ("/v2/a/tags/list", Route::Tags),
            ("/v2/a/referrers/sha256:00", Route::Referrers),
            ("/token", Route::Token),
            ("/readyz", Route::Operations),
            ("/admission/kubernetes", Route::Admission),
            ("/v3/", Route::Other),
            ("", Route::Other),
        ] {
            assert_eq!(Route::of(path), expected, "{path}");
        }
    }

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.request(Route::Blob, &http::Method::GET, 206, Duration::from_millis(2));
        metrics.verdict(crate::gate::Checkpoint::Push, false, ["vulnerability", "secret"]);
        metrics.uploads_in_flight.inc();
        let times = TrustRootTimes { age_seconds: 60, left_seconds: -5 };
        metrics.trust_roots([("gone".to_owned(), Some(times))].into_iter());
        metrics.trust_roots([("public".to_owned(), Some(times)), ("new".to_owned(), None)].into_iter());
        let text = metrics.encode().unwrap();
        for line in [
            "portcullis_requests_total{route=\"blob\",method=\"GET\",status=\"2xx\"} 1",
            "portcullis_request_duration_seconds_bucket{le=\"0.005\",route=\"blob\"} 1",
            "portcullis_verdicts_total{checkpoint=\"push\",outcome=\"denied\"} 1",
            "portcullis_denial_reasons_total{check=\"secret\"} 1",
            "portcullis_uploads_in_flight 1",
            "portcullis_advisory_age_seconds -1",
            "portcullis_yara_rules 0",
            "portcullis_trust_root_age_seconds{root=\"public\"} 60",
            "portcullis_trust_root_left_seconds{root=\"public\"} -5",
            "portcullis_trust_root_age_seconds{root=\"new\"} -1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }

    #[test]
    fn labels_are_bounded() {
        let metrics = Metrics::new();
        for number in 0..1000 {
            let check = format!("check-{number}");
            metrics.verdict(crate::gate::Checkpoint::Push, false, [check.as_str()]);
        }
        let text = metrics.encode().unwrap();
        assert_eq!(text.matches("portcullis_denial_reasons_total{").count(), CHECK_LABELS_MAX + 1);
    }
}
