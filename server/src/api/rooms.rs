//! Rooms and their members: made, listed, changed, removed; joined, left, let in, put out.
//! In: names and ids. Out: rooms as the caller sees them, and members.
//! Leaves to others: who may (`auth::access`), what is said (`messages`).

use super::extract::{Account, Asked, At, Body, Caller};
use super::operation::{Api, Needs, delete, get, patch, post, put};
use super::{Paging, json, limit, next, not_found, unprocessable};
use crate::app::App;
use crate::auth::access::{self, Action, Who};
use crate::changes::Turn;
use crate::message;
use crate::problem::Problem;
use crate::store::{Changes, NewRoom, Role, Room, RoomView, UserId};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of a room's title.
const TITLE_BYTES: usize = 128;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    let api = api
        .add(
            get("/rooms", "Rooms that you may see, by name")
                .needs(Needs::Entry)
                .query::<Paging>()
                .answers::<Rooms>(200),
            list,
        )
        .add(
            post("/rooms", "Make a room, and be its moderator")
                .body::<New>()
                .answers::<Shown>(201)
                .problems(&[409]),
            make,
        )
        .add(get("/rooms/{room}", "A room").needs(Needs::Entry).answers::<Shown>(200), one)
        .add(
            patch("/rooms/{room}", "Change a room's title, or whether everyone may enter")
                .body::<Change>()
                .answers::<Shown>(200)
                .problems(&[403]),
            change,
        )
        .add(
            delete("/rooms/{room}", "Remove a room and all that was said in it")
                .answers_plainly(204)
                .problems(&[403, 409]),
            remove,
        );
    add_members(api)
}

fn add_members(api: Api) -> Api {
    api.add(
        get("/rooms/{room}/members", "Who belongs to a room")
            .needs(Needs::Entry)
            .query::<MembersAsked>()
            .answers::<Members>(200),
        members,
    )
    .add(post("/rooms/{room}/members", "Join a room").answers_plainly(204), join)
    .add(
        put("/rooms/{room}/members/{user}", "Let somebody in, or give a role")
            .body::<NewRole>()
            .answers_plainly(204)
            .problems(&[403]),
        admit,
    )
    .add(
        delete("/rooms/{room}/members/{user}", "Leave a room (`me`), or put somebody out")
            .answers_plainly(204)
            .problems(&[403]),
        leave,
    )
}

/// A room, as the caller sees it.
#[derive(JsonSchema, Serialize)]
struct Shown {
    /// What it goes by.
    id: String,
    title: String,
    /// Everyone may see and enter it.
    public: bool,
    /// Clients that are in it now.
    members: usize,
    /// Number of the newest message or event.
    messages: i64,
    /// Your role, if you belong to it: `member` or `moderator`.
    role: Option<&'static str>,
    /// Unix time in milliseconds.
    created: i64,
}

/// Rooms by name.
#[derive(JsonSchema, Serialize)]
struct Rooms {
    rooms: Vec<Shown>,
    next: Option<String>,
}

/// A room to be made.
#[derive(Deserialize, JsonSchema)]
struct New {
    /// Letters, digits, and - _ . : alone.
    #[schemars(length(min = 1, max = 64))]
    id: String,
    #[schemars(length(max = 128))]
    title: Option<String>,
    /// Everyone may see and enter it; so it is unless said.
    public: Option<bool>,
}

/// What is to become different in a room.
#[derive(Deserialize, JsonSchema)]
struct Change {
    #[schemars(length(max = 128))]
    title: Option<String>,
    public: Option<bool>,
}

/// Which members are wanted.
#[derive(Deserialize, JsonSchema)]
struct MembersAsked {
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<i64>,
}

/// Who belongs to a room, by number of the account.
#[derive(JsonSchema, Serialize)]
struct Members {
    members: Vec<Belonging>,
    next: Option<i64>,
}

/// An account that belongs to a room.
#[derive(JsonSchema, Serialize)]
struct Belonging {
    id: i64,
    name: String,
    /// `member` or `moderator`.
    role: &'static str,
    /// Unix time in milliseconds.
    joined: i64,
}

/// A role to be given.
#[derive(Deserialize, JsonSchema)]
struct NewRole {
    /// `member` or `moderator`.
    role: String,
}

fn no_room(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_room", format!("there is no room `{name}`"))
}

/// The room of that name, if the caller may do that in it.
pub(super) async fn room(
    app: &App,
    who: Who<'_>,
    action: Action,
    name: &str,
) -> Result<RoomView, Problem> {
    let user = who.identity.map(|identity| identity.user);
    let view = app.store.room(name, user).await?.ok_or_else(|| no_room(name))?;
    match access::may(who, action, &view) {
        Ok(()) => Ok(view),
        // Told in the same words as of a room that is not there.
        Err(access::Denied::Hidden) => Err(no_room(name)),
        Err(denied) => Err(denied.into()),
    }
}

fn shown(app: &App, view: RoomView) -> Shown {
    let RoomView { room: Room { name, title, public, last_seq, created_ms, .. }, role } = view;
    let members = app.hub.company(&name).clients;
    let role = role.map(Role::word);
    Shown { id: name, title, public, members, messages: last_seq, role, created: created_ms }
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(paging): Asked<Paging>,
) -> Result<Response, Problem> {
    let limit = paging.limit();
    let views = app.store.rooms(caller.user(), paging.after(), limit).await?;
    let next = next(&views, limit, |view| view.room.name.clone());
    let rooms = views.into_iter().map(|view| shown(&app, view)).collect();
    Ok(json(StatusCode::OK, &Rooms { rooms, next }))
}

fn check_title(title: &str) -> Result<(), Problem> {
    if title.len() <= TITLE_BYTES {
        return Ok(());
    }
    let detail = format!("`title` has {} bytes, at most {TITLE_BYTES} are taken", title.len());
    Err(unprocessable("too_long", detail))
}

async fn make(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Body(new): Body<New>,
) -> Result<Response, Problem> {
    message::check_room(&new.id)
        .map_err(|refusal| unprocessable(refusal.code(), refusal.to_string()))?;
    let title = new.title.as_deref().unwrap_or(&new.id);
    check_title(title)?;
    let most = i64::try_from(app.limits.rooms).unwrap_or(i64::MAX);
    if app.store.count_rooms().await? >= most {
        let detail = format!("there are {most} rooms, as many as there may be");
        return Err(Problem::new(StatusCode::CONFLICT, "too_many_rooms", detail));
    }
    let public = new.public.unwrap_or(true);
    let new = NewRoom { name: &new.id, title, public, owner: Some(who.user) };
    if app.store.add_room(new.clone()).await?.is_none() {
        let detail = format!("there is a room `{}` already", new.name);
        return Err(Problem::new(StatusCode::CONFLICT, "taken", detail));
    }
    let view = app.store.room(new.name, Some(who.user)).await?;
    let view = view.ok_or_else(|| no_room(new.name))?;
    app.hub.room_made(&view.room, &who, &app.first_room).await;
    Ok(json(StatusCode::CREATED, &shown(&app, view)))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
) -> Result<Response, Problem> {
    let view = room(&app, caller.who(), Action::See, &name).await?;
    Ok(json(StatusCode::OK, &shown(&app, view)))
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
    Body(change): Body<Change>,
) -> Result<Response, Problem> {
    let mut view = room(&app, caller.who(), Action::Change, &name).await?;
    if let Some(title) = &change.title {
        check_title(title)?;
    }
    let changes = Changes { title: change.title.as_deref(), public: change.public };
    if !app.store.change_room(view.room.id, changes).await? {
        return Err(no_room(&name));
    }
    app.hub.doubt_everywhere(&name);
    view.room.title = change.title.unwrap_or(view.room.title);
    view.room.public = change.public.unwrap_or(view.room.public);
    app.hub.room_changed(&view.room, caller.name()).await;
    Ok(json(StatusCode::OK, &shown(&app, view)))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
) -> Result<StatusCode, Problem> {
    let view = room(&app, caller.who(), Action::Change, &name).await?;
    if app.stays(&name) {
        let detail = format!("`{name}` is one of the rooms that the server was started with");
        return Err(Problem::new(StatusCode::CONFLICT, "stays", detail));
    }
    if app.store.remove_room(view.room.id).await? {
        app.hub.room_removed(&view.room, caller.name());
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_room(&name))
    }
}

async fn members(
    State(app): State<Arc<App>>,
    caller: Caller,
    At(name): At<String>,
    Asked(asked): Asked<MembersAsked>,
) -> Result<Response, Problem> {
    let view = room(&app, caller.who(), Action::See, &name).await?;
    let limit = limit(asked.limit);
    let after = UserId(asked.after.unwrap_or(0));
    let members = app.store.members(view.room.id, after, limit).await?;
    let next = next(&members, limit, |member| member.user.0);
    let members = members.into_iter().map(|member| Belonging {
        id: member.user.0,
        name: member.name,
        role: member.role.word(),
        joined: member.joined_ms,
    });
    Ok(json(StatusCode::OK, &Members { members: members.collect(), next }))
}

async fn join(
    State(app): State<Arc<App>>,
    Account(who): Account,
    At(name): At<String>,
) -> Result<StatusCode, Problem> {
    let asks = Who { identity: Some(&who), open: app.open };
    let view = room(&app, asks, Action::Join, &name).await?;
    if app.store.join(view.room.id, who.user).await? {
        let own = (who.user, who.name.as_str());
        app.hub.member_changed(&view.room, own, Turn::Joined, &who).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Whom a path means by `me` or by a number.
fn meant(user: &str, who: Who<'_>) -> Result<UserId, Problem> {
    if user == "me" {
        let own = who.identity.map(|identity| identity.user);
        return own.ok_or_else(|| access::Denied::Unknown.into());
    }
    user.parse().map(UserId).map_err(|_| not_found("account"))
}

async fn admit(
    State(app): State<Arc<App>>,
    caller: Caller,
    At((name, user)): At<(String, String)>,
    Body(new): Body<NewRole>,
) -> Result<StatusCode, Problem> {
    let view = room(&app, caller.who(), Action::Admit, &name).await?;
    let user = meant(&user, caller.who())?;
    let role = Role::of_word(&new.role).ok_or_else(|| {
        unprocessable("bad_role", format!("`role` is member or moderator, not `{}`", new.role))
    })?;
    let account = app.store.account(user).await?.ok_or_else(|| not_found("account"))?;
    app.store.set_role(view.room.id, user, role).await?;
    if let Some(by) = &caller.identity {
        let whom = (user, account.name.as_str());
        app.hub.member_changed(&view.room, whom, Turn::Given(role), by).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn leave(
    State(app): State<Arc<App>>,
    caller: Caller,
    At((name, user)): At<(String, String)>,
) -> Result<StatusCode, Problem> {
    let user = meant(&user, caller.who())?;
    let own = caller.user() == Some(user);
    let action = if own { Action::Join } else { Action::Admit };
    let view = room(&app, caller.who(), action, &name).await?;
    if app.store.leave(view.room.id, user).await? {
        if let Some(by) = &caller.identity {
            let account = app.store.account(user).await?;
            let name = account.map(|account| account.name).unwrap_or_default();
            let turn = if own { Turn::Left } else { Turn::PutOut };
            app.hub.member_changed(&view.room, (user, &name), turn, by).await;
        }
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found("member"))
    }
}
