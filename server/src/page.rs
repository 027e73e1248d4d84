//! The chat page, built into the program.
//! In: nothing. Out: three files, with headers that let the page load from and talk to nowhere
//! but its own server.
//! Leaves to others: everything the page says (`page/chat.js` speaks the protocol of `session`).

use crate::app::App;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// No inline code, nothing from elsewhere, no frames. `'self'` covers the WebSocket of the same
/// origin in every current browser.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The paths of the page.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/",
            get(async || file("text/html; charset=utf-8", include_str!("../page/chat.html"))),
        )
        .route("/chat.css", get(async || file("text/css", include_str!("../page/chat.css"))))
        .route("/chat.js", get(async || file("text/javascript", include_str!("../page/chat.js"))))
}

/// A file of a page, with the headers of all of them.
pub(crate) fn file(kind: &'static str, text: impl IntoResponse) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
