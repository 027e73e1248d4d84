//! A user's notifications: listed, read, deleted.
//! In: filters and numbers. Out: notifications and how many are unread.
//! Leaves to others: making and delivering them (`notices`).

use super::extract::{Account, Asked, At};
use super::operation::{Api, delete, get, post};
use super::{json, limit, next, not_found};
use crate::app::App;
use crate::notices::{Shown, shown};
use crate::problem::Problem;
use crate::store::Filter;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    api.add(
        get("/notifications", "What you were told, newest first")
            .query::<Wanted>()
            .answers::<Notifications>(200),
        list,
    )
    .add(post("/notifications/read", "You have read all").answers::<Read>(200), read_all)
    .add(post("/notifications/{id}/read", "You have read one").answers_plainly(204), read)
    .add(delete("/notifications/{id}", "Delete one").answers_plainly(204), remove)
}

/// Which notifications are wanted.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// Those alone that are unread.
    unread: Option<bool>,
    /// `mention`, `direct`, `room` or `system` alone.
    kind: Option<String>,
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<i64>,
}

/// Notifications, newest first.
#[derive(JsonSchema, Serialize)]
struct Notifications {
    notifications: Vec<Shown>,
    /// How many are unread, of all.
    unread: i64,
    next: Option<i64>,
}

/// How many were unread.
#[derive(JsonSchema, Serialize)]
struct Read {
    read: u64,
}

async fn list(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Problem> {
    let limit = limit(wanted.limit);
    let filter = Filter {
        unread: wanted.unread.unwrap_or(false),
        kind: wanted.kind.as_deref(),
        before: wanted.before.unwrap_or(i64::MAX),
        limit,
    };
    let list = app.store.notifications(who.user, filter).await?;
    let unread = app.store.count_unread(who.user).await?;
    let next = next(&list, limit, |notification| notification.id);
    let notifications = list.into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, &Notifications { notifications, unread, next }))
}

async fn read_all(State(app): State<Arc<App>>, Account(who): Account) -> Result<Response, Problem> {
    let read = app.store.mark_all_read(who.user).await?;
    if read > 0 {
        app.hub.tell_read(who.user, None).await?;
    }
    Ok(json(StatusCode::OK, &Read { read }))
}

async fn read(
    State(app): State<Arc<App>>,
    Account(who): Account,
    At(id): At<i64>,
) -> Result<StatusCode, Problem> {
    if app.store.mark_read(who.user, id).await? {
        app.hub.tell_read(who.user, Some(id)).await?;
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found("notification of yours"))
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Account(who): Account,
    At(id): At<i64>,
) -> Result<StatusCode, Problem> {
    if app.store.delete_notification(who.user, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found("notification of yours"))
    }
}
