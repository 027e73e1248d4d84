//! Two operations to put load on: a bounded tail of request logs, and an echo with a receipt.
//! In: any text; any body. Out: how many entries are kept, the newest of them; the same body.
//! Leaves to others: keeping (`request_log`), the receipt (`echo`).

use super::extract::{Asked, Whole};
use super::json;
use super::operation::{Api, Needs, get, post};
use crate::app::App;
use crate::echo;
use crate::guarded::Guarded;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entries given at once, unless the query says fewer.
const ENTRIES_MAX: u32 = 100;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    api.add(
        post("/log", "Keep a text among the newest entries")
            .needs(Needs::Nothing)
            .answers::<Kept>(202)
            .problems(&[400, 408, 413]),
        log,
    )
    .add(
        get("/log", "The newest entries, oldest first")
            .needs(Needs::Nothing)
            .query::<Wanted>()
            .answers::<Tail>(200),
        tail,
    )
    .add(
        post("/echo", "The same body")
            .needs(Needs::Nothing)
            .answers_plainly(200)
            .problems(&[400, 408, 413]),
        echo_back,
    )
    .add(
        get("/echo", "The same body, which is empty as a rule")
            .needs(Needs::Nothing)
            .answers_plainly(200)
            .problems(&[400, 408, 413]),
        echo_back,
    )
}

/// How many entries are kept.
#[derive(JsonSchema, Serialize)]
struct Kept {
    kept: usize,
}

/// How many entries are wanted.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    #[schemars(range(max = 100))]
    limit: Option<u32>,
}

/// The newest entries, oldest first.
#[derive(JsonSchema, Serialize)]
struct Tail {
    entries: Vec<String>,
}

async fn log(State(app): State<Arc<App>>, Whole(body): Whole) -> Result<Response, Problem> {
    let text = std::str::from_utf8(&body).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "not_text", "the body is not UTF-8 text")
    })?;
    if text.is_empty() {
        let detail = "the body is empty: send the text to be kept";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "empty", detail));
    }
    Ok(json(StatusCode::ACCEPTED, &Kept { kept: app.log.append(text) }))
}

async fn tail(State(app): State<Arc<App>>, Asked(wanted): Asked<Wanted>) -> Response {
    let limit = wanted.limit.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
    json(StatusCode::OK, &Tail { entries: app.log.newest(limit as usize) })
}

async fn echo_back(
    State(app): State<Arc<App>>,
    parts: Parts,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let written = echo::expect_receipt(&parts, &body, &app.faults, &app.metrics);
    let mut headers = HeaderMap::new();
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(octets));
    Ok((headers, Body::new(Guarded::hold(Body::from(body), written))).into_response())
}
