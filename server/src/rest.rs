//! The REST interface: paths, bodies and their answers.
//! In: HTTP requests. Out: JSON, problem documents, the page.
//! Leaves to others: connections and WebSockets (`server`, `upgrade`), what is kept (`hub`,
//! `request_log`).

use crate::app::{App, unix_ms};
use crate::echo;
use crate::guarded::Guarded;
use crate::message::{self, Refusal};
use crate::page;
use crate::problem::Problem;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Entries or messages given at once, unless the query says fewer.
const LIST_MAX: usize = 100;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    let limit = DefaultBodyLimit::max(app.limits.body_bytes);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/log", post(log).get(tail))
        .route("/api/v1/echo", post(echo_back).get(echo_back))
        .route("/api/v1/rooms", get(rooms))
        .route("/api/v1/rooms/{id}/messages", post(say).get(history))
        .merge(page::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(limit)
        .with_state(app)
}

async fn nothing(OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!("there is nothing at `{}`", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

async fn wrong_method(OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!("`{}` does not take this method", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    if app.is_draining() {
        let detail = "the server stops and takes no new clients";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail));
    }
    Ok("ready\n")
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.render(app.gauges());
    ([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response()
}

/// What came instead of a body.
fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, "too_long", "the body is longer than the server takes")
        }
        status => Problem::new(status, "bad_body", rejection.body_text()),
    })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("lists and maps of strings are always JSON");
    (status, [(header::CONTENT_TYPE, JSON)], text).into_response()
}

async fn log(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Kept {
        kept: usize,
    }
    let body = whole(body)?;
    let text = std::str::from_utf8(&body).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "not_text", "the body is not UTF-8 text")
    })?;
    if text.is_empty() {
        let detail = "the body is empty: send the text to be kept";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "empty", detail));
    }
    Ok(json(StatusCode::ACCEPTED, &Kept { kept: app.log.append(text) }))
}

/// How many are wanted.
#[derive(Deserialize)]
struct Wanted {
    limit: Option<usize>,
}

impl Wanted {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIST_MAX).min(LIST_MAX)
    }
}

async fn tail(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    #[derive(Serialize)]
    struct Tail {
        entries: Vec<String>,
    }
    json(StatusCode::OK, &Tail { entries: app.log.newest(wanted.limit()) })
}

async fn echo_back(
    State(app): State<Arc<App>>,
    parts: Parts,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = whole(body)?;
    let written = echo::expect_receipt(&parts, &body, &app.faults, &app.metrics);
    let mut headers = HeaderMap::new();
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(octets));
    Ok((headers, Body::new(Guarded::hold(Body::from(body), written))).into_response())
}

async fn rooms(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Room<'a> {
        id: &'a str,
        members: usize,
        messages: u64,
    }
    #[derive(Serialize)]
    struct List<'a> {
        rooms: Vec<Room<'a>>,
    }
    app.hub.with_rooms(|rooms| {
        let list = rooms.list().map(|(id, members, messages)| Room { id, members, messages });
        json(StatusCode::OK, &List { rooms: list.collect() })
    })
}

fn no_room(room: &str) -> Problem {
    let detail = format!("there is no room `{room}` (a room is there while somebody is in it)");
    Problem::new(StatusCode::NOT_FOUND, "no_room", detail)
}

async fn history(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct List<'a> {
        messages: Vec<&'a RawValue>,
    }
    let messages = app.hub.history(&room, wanted.limit()).ok_or_else(|| no_room(&room))?;
    // They were encoded when they were said, and are given as they are.
    let messages = messages.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    Ok(json(StatusCode::OK, &List { messages }))
}

async fn say(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = whole(body)?;
    let refused = |refusal: &Refusal| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Problem::new(status, refusal.code(), refusal.to_string())
    };
    let text = std::str::from_utf8(&body).unwrap_or_default();
    let words = message::parse_words(text, app.limits.message_bytes);
    let words = words.map_err(|refusal| refused(&refusal))?;
    app.metrics.message_in();
    match app.hub.say(&room, &words, None, unix_ms()) {
        Ok(Some(message)) => {
            let headers = [(header::CONTENT_TYPE, JSON)];
            Ok((StatusCode::CREATED, headers, message.as_str().to_owned()).into_response())
        }
        Ok(None) => Err(no_room(&room)),
        Err(refusal) => Err(refused(&refusal)),
    }
}
