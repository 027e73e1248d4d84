//! The REST interface under `/api/v1`, and the document that describes it.
//! In: HTTP requests, taken apart by `extract`. Out: JSON, and problem documents.
//! Each path is entered once, with what it takes and answers: router and OpenAPI document are made
//! of the same list. Leaves to others: what is kept (`store`), who may what (`auth`).

mod accounts;
mod asyncapi;
mod direct;
mod extract;
mod messages;
mod notifications;
mod operation;
mod page;
mod rooms;
mod tools;
mod uploads;

use crate::app::App;
use crate::problem::Problem;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use operation::Api;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entries given at once, unless the query says fewer.
const PAGE_DEFAULT: i64 = 50;

/// Entries given at once at most.
const PAGE_MAX: i64 = 100;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// All paths of the interface, and of its document.
pub(crate) fn routes() -> Router<Arc<App>> {
    let api = Api::default();
    let api = accounts::add(api);
    let api = rooms::add(api);
    let api = messages::add(api);
    let api = direct::add(api);
    let api = notifications::add(api);
    let api = uploads::add(api);
    let api = tools::add(api);
    let (router, document) = api.finish();
    router.merge(page::routes(document))
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Paging {
    /// How many entries.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

impl Paging {
    fn limit(&self) -> i64 {
        limit(self.limit)
    }

    /// The text to go on after; empty at the beginning.
    fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }
}

fn limit(wanted: Option<u32>) -> i64 {
    wanted.map_or(PAGE_DEFAULT, i64::from).clamp(1, PAGE_MAX)
}

/// Which part of a list is wanted that begins with the newest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Backwards {
    /// How many entries.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before: entries older than this one.
    before: Option<i64>,
}

impl Backwards {
    fn limit(&self) -> i64 {
        limit(self.limit)
    }

    fn before(&self) -> i64 {
        self.before.unwrap_or(i64::MAX)
    }
}

/// The cursor to the next page: of the last entry, when the page is full.
fn next<T, C>(page: &[T], limit: i64, cursor: impl Fn(&T) -> C) -> Option<C> {
    let full = i64::try_from(page.len()).unwrap_or(i64::MAX) >= limit;
    page.last().filter(|_| full).map(cursor)
}

/// An account, as others see it.
#[derive(Debug, JsonSchema, Serialize)]
struct Person {
    id: i64,
    name: String,
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("lists and maps of strings are always JSON");
    (status, [(header::CONTENT_TYPE, JSON)], text).into_response()
}

fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
}

fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
