//! Accounts: made, logged in, renewed, logged out, changed, listed.
//! In: names, passwords, tokens. Out: tokens and accounts.
//! Leaves to others: hashing and signing (`auth`), keeping (`store`).

use super::extract::{Account, Address, Asked, At, Body, Caller};
use super::operation::{Api, Needs, get, patch, post};
use super::{Person, json, limit, next, not_found, unprocessable};
use crate::app::{App, unix_ms};
use crate::auth::{Identity, check_name, check_password, hash_secret, random_secret};
use crate::limits::Whence;
use crate::notices::{Occasion, Priority};
use crate::problem::Problem;
use crate::store::{self, NewAccount, NewToken, Refreshed, UserId};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Time a refresh token lives unless it is used.
const REFRESH_LIVES_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    api.add(
        post("/auth/register", "Make an account and log in")
            .needs(Needs::Nothing)
            .body::<Credentials>()
            .answers::<Session>(201)
            .problems(&[409]),
        register,
    )
    .add(
        post("/auth/login", "Log in")
            .needs(Needs::Nothing)
            .body::<Credentials>()
            .answers::<Session>(200)
            .problems(&[401]),
        login,
    )
    .add(
        post("/auth/refresh", "Take new tokens for a refresh token, which is good once")
            .needs(Needs::Nothing)
            .body::<Shown>()
            .answers::<Session>(200)
            .problems(&[401]),
        refresh,
    )
    .add(
        post("/auth/logout", "End what came of a login")
            .needs(Needs::Nothing)
            .body::<Shown>()
            .answers_plainly(204),
        logout,
    )
    .add(get("/users/me", "Your account").answers::<Own>(200).problems(&[404]), me)
    .add(
        patch("/users/me", "Change your name or password")
            .body::<Change>()
            .answers::<Own>(200)
            .problems(&[403, 404, 409]),
        change,
    )
    .add(
        get("/users", "Accounts by name")
            .needs(Needs::Entry)
            .query::<Search>()
            .answers::<People>(200),
        list,
    )
    .add(get("/users/{id}", "An account").needs(Needs::Entry).answers::<Person>(200), one)
}

/// A name and a password.
#[derive(Deserialize, JsonSchema)]
struct Credentials {
    /// Letters, digits, and - _ . alone.
    #[schemars(length(min = 1, max = 32))]
    username: String,
    #[schemars(length(min = 8, max = 256))]
    password: String,
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
struct Shown {
    refresh_token: String,
}

/// What one logs in for.
#[derive(JsonSchema, Serialize)]
struct Session {
    access_token: String,
    /// Good for one use.
    refresh_token: String,
    token_type: &'static str,
    /// Seconds that the access token lives.
    expires_in: u64,
    user: Own,
}

/// One's own account.
#[derive(JsonSchema, Serialize)]
struct Own {
    id: i64,
    name: String,
    admin: bool,
}

/// What is to become different in one's account.
#[derive(Deserialize, JsonSchema)]
struct Change {
    username: Option<String>,
    /// The password so far, when there is to be a new one.
    password: Option<String>,
    new_password: Option<String>,
}

/// Which accounts are wanted.
#[derive(Deserialize, JsonSchema)]
struct Search {
    /// How their names begin.
    prefix: Option<String>,
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Accounts by name.
#[derive(JsonSchema, Serialize)]
struct People {
    users: Vec<Person>,
    next: Option<String>,
}

fn taken(name: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "taken", format!("the name `{name}` is taken"))
}

fn secret() -> Result<String, Problem> {
    random_secret().ok_or_else(|| {
        let detail = "the system gives no randomness";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no_randomness", detail)
    })
}

fn session(app: &App, user: Own, session: String, refresh_token: String) -> Session {
    let identity = Identity {
        user: UserId(user.id),
        name: user.name.clone(),
        admin: user.admin,
        session,
        expires_ms: 0,
    };
    let (access_token, expires_in) = app.tokens.make(&identity, unix_ms());
    Session { access_token, refresh_token, token_type: "Bearer", expires_in, user }
}

/// Begins a family of tokens.
async fn begin(app: &App, user: Own) -> Result<Session, Problem> {
    let (family, token) = (secret()?, secret()?);
    let new = NewToken { hash: &hash_secret(&token), lives_ms: REFRESH_LIVES_MS };
    app.store.add_token(UserId(user.id), &family, new).await?;
    Ok(session(app, user, family, token))
}

async fn register(
    State(app): State<Arc<App>>,
    Body(Credentials { username, password }): Body<Credentials>,
) -> Result<Response, Problem> {
    check_name(&username).map_err(|detail| unprocessable("bad_name", detail))?;
    check_password(&password).map_err(|detail| unprocessable("bad_password", detail))?;
    let hash = app.passwords.hash(&password).await?;
    let new = NewAccount { name: &username, password: &hash, admin: false };
    let id = app.store.add_account(new).await?.ok_or_else(|| taken(&username))?;
    let session = begin(&app, Own { id: id.0, name: username, admin: false }).await?;
    Ok(json(StatusCode::CREATED, &session))
}

/// Whether another password may be tried on an account now.
fn may_try(app: &App, user: UserId, from: Option<Whence>) -> Result<(), Problem> {
    let Some(from) = from else { return Ok(()) };
    app.gate.login_of(user.0, from).map_err(|wait| {
        app.metrics.limited("login");
        Problem::too_many(wait)
    })
}

async fn login(
    State(app): State<Arc<App>>,
    Address(from): Address,
    Body(Credentials { username, password }): Body<Credentials>,
) -> Result<Response, Problem> {
    let account = app.store.account_named(&username).await?;
    if let Some(account) = &account {
        may_try(&app, account.id, from)?;
    }
    let hash = account.as_ref().map(|account| account.password.as_str());
    let fits = app.passwords.fits(&password, hash).await?;
    let Some(account) = account.filter(|_| fits) else {
        let detail = "there is no account of that name and password";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_password", detail));
    };
    Ok(json(StatusCode::OK, &begin(&app, own(account)).await?))
}

fn own(account: store::Account) -> Own {
    Own { id: account.id.0, name: account.name, admin: account.admin }
}

async fn refresh(
    State(app): State<Arc<App>>,
    Body(shown): Body<Shown>,
) -> Result<Response, Problem> {
    let token = secret()?;
    let new = NewToken { hash: &hash_secret(&token), lives_ms: REFRESH_LIVES_MS };
    let refused = |code, detail: &str| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    match app.store.refresh(&hash_secret(&shown.refresh_token), new).await? {
        Refreshed::Good { family, user, name, admin } => {
            let user = Own { id: user.0, name, admin };
            Ok(json(StatusCode::OK, &session(&app, user, family, token)))
        }
        Refreshed::Reused { user, now, .. } => {
            if now {
                let words = "A refresh token of yours was used a second time, perhaps by \
                    somebody else. All that came of that login has ended.";
                app.hub.notices.note(Occasion::system(user, Priority::Urgent, words));
            }
            let detail = "the refresh token was used before, so all that came of its login ends";
            Err(refused("token_reused", detail))
        }
        Refreshed::Unknown => {
            Err(refused("bad_refresh_token", "the refresh token is not good any more: log in"))
        }
    }
}

async fn logout(
    State(app): State<Arc<App>>,
    Body(shown): Body<Shown>,
) -> Result<StatusCode, Problem> {
    if let Some(family) = app.store.family_of(&hash_secret(&shown.refresh_token)).await? {
        app.store.revoke(&family).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn me(State(app): State<Arc<App>>, Account(who): Account) -> Result<Response, Problem> {
    let account = app.store.account(who.user).await?.ok_or_else(|| not_found("account"))?;
    Ok(json(StatusCode::OK, &own(account)))
}

async fn change(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Address(from): Address,
    Body(change): Body<Change>,
) -> Result<Response, Problem> {
    let mut account = app.store.account(who.user).await?.ok_or_else(|| not_found("account"))?;
    if let Some(password) = &change.new_password {
        check_password(password).map_err(|detail| unprocessable("bad_password", detail))?;
        // Whoever has a stolen token may not guess quicker than who has none.
        may_try(&app, who.user, from)?;
        let given = change.password.as_deref().unwrap_or_default();
        if !app.passwords.fits(given, Some(&account.password)).await? {
            let detail = "`password` is not the password so far";
            return Err(Problem::new(StatusCode::FORBIDDEN, "wrong_password", detail));
        }
        let hash = app.passwords.hash(password).await?;
        app.store.set_password(who.user, &hash).await?;
        // Whoever knew the old one shall not stay.
        app.store.revoke_all(who.user).await?;
        let words = "Your password was changed. Whoever was signed in has to sign in again.";
        app.hub.notices.note(Occasion::system(who.user, Priority::High, words));
    }
    if let Some(name) = change.username {
        check_name(&name).map_err(|detail| unprocessable("bad_name", detail))?;
        if !app.store.rename(who.user, &name).await? {
            return Err(taken(&name));
        }
        app.hub.user_changed(who.user, &account.name, &name);
        account.name = name;
    }
    Ok(json(StatusCode::OK, &own(account)))
}

async fn list(
    State(app): State<Arc<App>>,
    _: Caller,
    Asked(search): Asked<Search>,
) -> Result<Response, Problem> {
    let limit = limit(search.limit);
    let prefix = search.prefix.unwrap_or_default();
    let after = search.after.unwrap_or_default();
    let accounts = app.store.accounts(&prefix, &after, limit).await?;
    let next = next(&accounts, limit, |account| account.name.clone());
    let users = accounts.into_iter();
    let users = users.map(|account| Person { id: account.id.0, name: account.name }).collect();
    Ok(json(StatusCode::OK, &People { users, next }))
}

async fn one(State(app): State<Arc<App>>, _: Caller, At(id): At<i64>) -> Result<Response, Problem> {
    let account = app.store.account(UserId(id)).await?.ok_or_else(|| not_found("account"))?;
    Ok(json(StatusCode::OK, &Person { id: account.id.0, name: account.name }))
}
