//! All paths that are answered over HTTP.
//! In: HTTP requests. Out: the state of the server, and what `api` and `page` answer.
//! Leaves to others: connections and WebSockets (`server`, `upgrade`).

use crate::api;
use crate::app::App;
use crate::page;
use crate::problem::Problem;
use axum::Router;
use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(api::routes())
        .merge(page::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(remember_route))
        .with_state(app)
}

/// Lets the answer tell which route it came by.
async fn remember_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
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
    let mut text = app.metrics.render(app.gauges());
    text.extend(app.hub.render_cluster());
    ([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response()
}
