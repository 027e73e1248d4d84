//! What handlers take out of a request: who asks, a path, a query, a body.
//! In: a request. Out: the part, or a problem document that says what is wrong with it; never one
//! of axum's own rejections. Leaves to others: what the parts mean.

use crate::app::{App, unix_ms};
use crate::auth::Identity;
use crate::auth::access::{self, Denied, Who};
use crate::limits::Whence;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Who asks: an account, or a guest where the server is open.
pub(super) struct Caller {
    pub(super) identity: Option<Identity>,
    open: bool,
}

impl Caller {
    /// As the place that decides wants it.
    pub(super) fn who(&self) -> Who<'_> {
        Who { identity: self.identity.as_ref(), open: self.open }
    }

    /// What others call it; nothing for a guest.
    pub(super) fn name(&self) -> &str {
        self.identity.as_ref().map_or("", |identity| &identity.name)
    }

    /// The number of the account, if it is one.
    pub(super) fn user(&self) -> Option<crate::store::UserId> {
        self.identity.as_ref().map(|identity| identity.user)
    }
}

/// An account that asks.
pub(super) struct Account(pub(super) Identity);

/// A part of the path.
pub(super) struct At<T>(pub(super) T);

/// Whom the request counts for.
pub(super) struct Address(pub(super) Option<Whence>);

impl FromRequestParts<Arc<App>> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(parts.extensions.get::<Whence>().copied()))
    }
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

/// The whole body, whatever it is.
pub(super) struct Whole(pub(super) Bytes);

/// The body, read as JSON.
pub(super) struct Body<T>(pub(super) T);

/// What the `authorization` header says, unless its account asks too often.
fn identity(parts: &Parts, app: &App) -> Result<Option<Identity>, Problem> {
    let identity = named(&parts.headers, app)?;
    if let (Some(identity), Some(from)) = (&identity, parts.extensions.get::<Whence>()) {
        app.gate.request_of(identity.user.0, *from).map_err(|wait| {
            app.metrics.limited("request");
            Problem::too_many(wait)
        })?;
    }
    Ok(identity)
}

fn named(headers: &HeaderMap, app: &App) -> Result<Option<Identity>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let unknown = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "bad_token", detail);
    let value = value.to_str().map_err(|_| unknown("`authorization` is not text"))?;
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or_else(|| unknown("`authorization` wants `bearer TOKEN`"))?;
    let identity = app.tokens.authenticate(token.trim(), unix_ms());
    identity.map(Some).map_err(|error| unknown(&error.to_string()))
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Self { identity: identity(parts, app)?, open: app.open };
        access::may_come(caller.who())?;
        Ok(caller)
    }
}

impl FromRequestParts<Arc<App>> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let identity = identity(parts, app)?;
        identity.map(Self).ok_or_else(|| Denied::Unknown.into())
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad_path", detail);
        path.map(|Path(path)| Self(path)).map_err(|rejection| bad(rejection.body_text()))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail);
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|rejection| bad(rejection.body_text()))
    }
}

impl FromRequest<Arc<App>> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let reading = Limited::new(request.into_body(), app.limits.body_bytes).collect();
        let Ok(read) = tokio::time::timeout(app.limits.body_timeout, reading).await else {
            let detail = "the body did not come in time";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail).closing());
        };
        match read {
            Ok(body) => Ok(Self(body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                let detail = "the body is longer than the server takes";
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                Err(Problem::new(status, "too_long", detail).closing())
            }
            Err(error) => {
                let detail = format!("the body cannot be read: {error}");
                Err(Problem::new(StatusCode::BAD_REQUEST, "bad_body", detail))
            }
        }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        // A page from elsewhere may send forms and plain text unasked, but not this type.
        if !is_json(request.headers()) {
            let detail = "the body must be JSON (send `content-type: application/json`)";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "not_json", detail));
        }
        let Whole(body) = Whole::from_request(request, app).await?;
        let value = serde_json::from_slice(&body).map_err(|error| {
            let detail = format!("the body is not what is wanted here: {error}");
            let is_json = !error.is_syntax() && !error.is_eof();
            let (status, code) = if is_json {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad_field")
            } else {
                (StatusCode::BAD_REQUEST, "bad_json")
            };
            Problem::new(status, code, detail)
        })?;
        Ok(Self(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}
