//! Errors of the REST interface as RFC 9457 problem documents.
//! In: a status, a stable code and a sentence with the cure. Out: a response of type
//! `application/problem+json`. Leaves to others: deciding what is wrong.

use crate::auth::PasswordError;
use crate::auth::access::Denied;
use crate::limits::Wait;
use crate::store::StoreError;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Media type of a problem document, RFC 9457 section 6.1.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What is wrong, for a person and for a program.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    /// The connection ends with it: the rest of the request is not read.
    closing: bool,
    /// Seconds after which it may be asked again.
    retry_after: Option<u64>,
}

/// Seconds after which what was too busy may be asked again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What a request without a token, or with a bad one, is asked for (RFC 6750 section 3).
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// The members of RFC 9457 section 3.1, and `code`, which is ours.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Problem")]
pub(crate) struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    /// A word a program can act on.
    code: &'a str,
    /// What is wrong, and what to do about it.
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), closing: false, retry_after: None }
    }

    /// Somebody asks too often.
    pub(crate) fn too_many(wait: Wait) -> Self {
        let seconds = wait.seconds();
        let detail = format!("too many requests: wait {seconds} s");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// The same, after which the connection ends.
    pub(crate) fn closing(self) -> Self {
        Self { closing: true, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let text = serde_json::to_vec(&document).expect("strings and a number are always JSON");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, BEARER);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match &error {
            StoreError::Busy | StoreError::Closed => {
                Self::new(unavailable, "busy", error.to_string())
            }
            StoreError::Full { .. } => Self::new(unavailable, "full", error.to_string()),
            StoreError::InDoubt(_) => {
                tracing::error!(%error, "a transaction in doubt");
                let detail = "whether it was stored is not known (send it again with the same key)";
                Self::new(unavailable, "in_doubt", detail)
            }
            StoreError::Pool(_) => {
                tracing::error!(%error, "the database cannot be reached");
                Self::new(unavailable, "database", "the database cannot be reached just now")
            }
            StoreError::Postgres(inner) if inner.is_closed() || inner.code().is_none() => {
                tracing::error!(%error, "the connection to the database broke");
                Self::new(unavailable, "database", "the database cannot be reached just now")
            }
            _ => {
                // What it says is for the log: it may name tables and values.
                tracing::error!(%error, "the database failed");
                let detail = "the server failed, and has noted why in its log";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (status, code) = match denied {
            Denied::Unknown => (StatusCode::UNAUTHORIZED, "account_needed"),
            Denied::Hidden => (StatusCode::NOT_FOUND, "no_room"),
            Denied::Moderators => (StatusCode::FORBIDDEN, "forbidden"),
        };
        Self::new(status, code, denied.to_string())
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        let (status, code) = match error {
            PasswordError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            PasswordError::System => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, code, error.to_string())
    }
}
