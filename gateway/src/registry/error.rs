//! The distribution spec's error codes as one table, and the only place where this door's errors become HTTP.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::gate::verdict::Denial;
use crate::ingest::{IngestError, SessionError};
use crate::judge::JudgeError;
use crate::records::RecordError;
use crate::staging::StagingError;
use crate::telemetry::RequestId;

/// Longest denial text put into a message: Docker prints the message on the terminal.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Error codes: distribution-spec "Error Codes", and two of our own in its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// code-1: blob unknown to registry.
    BlobUnknown,
    /// code-2: blob upload invalid.
    BlobUploadInvalid,
    /// code-3: blob upload unknown to registry.
    BlobUploadUnknown,
    /// code-12: requested access to the resource is denied. Every refusal by policy.
    Denied,
    /// code-4: provided digest did not match uploaded content.
    DigestInvalid,
    /// Ours: we could not do or decide it; nothing was changed.
    Internal,
    /// code-5: manifest references a manifest or blob unknown to registry.
    ManifestBlobUnknown,
    /// code-6: manifest invalid.
    ManifestInvalid,
    /// code-7: manifest unknown to registry.
    ManifestUnknown,
    /// code-8: invalid repository name.
    NameInvalid,
    /// code-9: repository name not known to registry.
    NameUnknown,
    /// Ours: pagination parameters out of range (as distribution answers).
    PaginationNumberInvalid,
    /// Ours: the requested or announced range does not fit.
    RangeInvalid,
    /// code-10: provided length did not match content length, or is over the limit.
    SizeInvalid,
    /// Ours, in distribution's words: no tag by the spec's grammar.
    TagInvalid,
    /// code-11: authentication required.
    Unauthorized,
    /// code-13: the operation is unsupported.
    Unsupported,
}

impl Code {
    /// Name on the wire and usual status.
    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::BAD_REQUEST),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", StatusCode::NOT_FOUND),
            Self::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Self::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Self::Internal => ("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", StatusCode::BAD_REQUEST),
            Self::ManifestInvalid => ("MANIFEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NameInvalid => ("NAME_INVALID", StatusCode::BAD_REQUEST),
            Self::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Self::PaginationNumberInvalid => ("PAGINATION_NUMBER_INVALID", StatusCode::BAD_REQUEST),
            Self::RangeInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::RANGE_NOT_SATISFIABLE),
            Self::SizeInvalid => ("SIZE_INVALID", StatusCode::PAYLOAD_TOO_LARGE),
            Self::TagInvalid => ("TAG_INVALID", StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::Unsupported => ("UNSUPPORTED", StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// An answer that is an error in the spec's shape.
#[derive(Debug)]
pub(super) struct ApiError {
    code: Code,
    status: Option<StatusCode>,
    message: String,
    detail: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error with a message for people.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, status: None, message: message.into(), detail: None, headers: Vec::new() }
    }

    /// The same with a header.
    #[must_use]
    pub(super) fn with_header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
        self
    }

    /// The same with another status than the table's.
    #[must_use]
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// The gate said no: every reason in the message, and as JSON in `detail`.
    pub(super) fn denied(denial: &Denial) -> Self {
        let mut error = Self::new(Code::Denied, denial.message(MESSAGE_BYTES_MAX));
        error.detail = serde_json::to_value(denial).ok();
        error
    }

    /// Whether it is a refusal.
    pub(super) fn is_denied(&self) -> bool {
        self.code == Code::Denied
    }

    /// The same words as a question for credentials.
    #[must_use]
    pub(super) fn into_challenge(mut self, challenge: HeaderValue) -> Self {
        self.code = Code::Unauthorized;
        self.with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Something of ours failed: logged here, once; the client learns the request id only.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            next = cause.source();
        }
        tracing::error!(error = chain, "registry: could not answer");
        Self::new(
            Code::Internal,
            "the gateway could not answer; nothing was changed. Its log has the request id",
        )
    }

    /// The error as a response.
    pub(super) fn into_response(self, request_id: &RequestId) -> Response {
        let (name, status) = self.code.row();
        let mut detail = json!({ "request-id": request_id.as_str() });
        if let (Some(Value::Object(more)), Value::Object(detail)) = (self.detail, &mut detail) {
            detail.extend(more);
        }
        let body = json!({ "errors": [{ "code": name, "message": self.message, "detail": detail }] });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status.unwrap_or(status);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        Self::internal(&error)
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Body(_) => Self::new(Code::BlobUploadInvalid, "the request body ended early"),
            IngestError::TooLarge { .. } => Self::new(Code::SizeInvalid, error.to_string()),
            IngestError::Digest { .. } => Self::new(Code::DigestInvalid, error.to_string()),
            other => Self::internal(&other),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Unknown => Self::new(Code::BlobUploadUnknown, error.to_string()),
            SessionError::Busy => Self::new(Code::BlobUploadInvalid, error.to_string()),
            SessionError::Ingest(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<StagingError> for ApiError {
    fn from(error: StagingError) -> Self {
        let code = match error {
            StagingError::BlobUnknown { .. } | StagingError::ManifestUnknown { .. } => {
                Code::ManifestBlobUnknown
            }
            StagingError::Descriptor { .. } | StagingError::TooManyReferrers { .. } => Code::ManifestInvalid,
            StagingError::Gone { .. } => Code::ManifestUnknown,
            StagingError::Withdrawn { .. } => Code::Denied,
            StagingError::Records(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<JudgeError> for ApiError {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Staging(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}
