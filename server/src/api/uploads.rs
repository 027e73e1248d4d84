//! A user's uploads, as far as they are known.
//! In: cursors. Out: entries, newest first.
//! Leaves to others: taking and giving the files.

use super::extract::{Account, Asked};
use super::operation::{Api, get};
use super::{Backwards, json, next};
use crate::app::App;
use crate::problem::Problem;
use crate::store;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    let operation = get("/uploads", "Files that you have uploaded, newest first");
    api.add(operation.query::<Backwards>().answers::<Uploads>(200), list)
}

/// Uploaded files, newest first.
#[derive(JsonSchema, Serialize)]
struct Uploads {
    uploads: Vec<Upload>,
    next: Option<i64>,
}

/// An uploaded file.
#[derive(JsonSchema, Serialize)]
struct Upload {
    id: i64,
    name: String,
    /// As its content says.
    media_type: String,
    bytes: i64,
    /// SHA-256 of its content, in hex.
    sha256: String,
    /// Unix time in milliseconds.
    timestamp: i64,
}

async fn list(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Asked(paging): Asked<Backwards>,
) -> Result<Response, Problem> {
    let limit = paging.limit();
    let list = app.store.uploads(who.user, paging.before(), limit).await?;
    let next = next(&list, limit, |upload| upload.id);
    let uploads = list.into_iter().map(|upload| {
        let store::Upload { id, hash, name, media_type, bytes, at_ms, .. } = upload;
        Upload { id, name, media_type, bytes, sha256: hash, timestamp: at_ms }
    });
    Ok(json(StatusCode::OK, &Uploads { uploads: uploads.collect(), next }))
}
