//! The OpenAPI document, and a page that shows it and tries it out; the AsyncAPI document, and a
//! page that shows it.
//! In: the documents. Out: they and their files, with headers that let the page load from and talk
//! to nowhere but its own server. Leaves to others: what the document says.

use super::asyncapi;
use crate::app::App;
use crate::page::file;
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use std::sync::Arc;

/// The paths of the document and its page.
pub(super) fn routes(document: String) -> Router<Arc<App>> {
    let document = Bytes::from(document);
    let events = Bytes::from(asyncapi::document());
    Router::new()
        .route("/docs/openapi.json", get(async move || file("application/json", document)))
        .route("/docs/asyncapi.json", get(async move || file("application/json", events)))
        .route(
            "/docs/events",
            get(async || file("text/html; charset=utf-8", include_str!("../../page/events.html"))),
        )
        .route(
            "/docs/events.js",
            get(async || file("text/javascript", include_str!("../../page/events.js"))),
        )
        .route(
            "/docs",
            get(async || file("text/html; charset=utf-8", include_str!("../../page/docs.html"))),
        )
        .route(
            "/docs/docs.css",
            get(async || file("text/css", include_str!("../../page/docs.css"))),
        )
        .route(
            "/docs/docs.js",
            get(async || file("text/javascript", include_str!("../../page/docs.js"))),
        )
}
