//! Socket.IO at `/socket.io/`: requests find the session they belong to.
//! In: HTTP requests. Out: their answers; a task for each session, started when it opens and
//! forgotten when it ends.
//! Leaves to others: the protocol (`ebbtide-socketio`), carrying a session (`carrier`), what its
//! events mean (`events`).

mod carrier;
mod events;
mod personal;

use crate::app::App;
use crate::limits::Whence;
use crate::origin;
use crate::sessions::{Client, Hanging, Unfinished};
use crate::upgrade;
use crate::wire::{self, Held};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use carrier::Opened;
use data_encoding::BASE64URL_NOPAD;
use ebbtide_socketio::Text;
use ebbtide_socketio::server::{Refusal, Route, Transport};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

/// Where Socket.IO is spoken.
const PATH: &str = "/socket.io";

/// Random bytes of an id that nobody can guess.
const ID_BYTES: usize = 18;

/// Whether a request is for Socket.IO.
pub(crate) fn is_asked(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest == "/")
}

/// An id that cannot be guessed.
pub(crate) fn new_id() -> Text {
    let mut bytes = [0; ID_BYTES];
    let mut filled = 0;
    while filled < ID_BYTES {
        let rest = &mut bytes[filled..];
        let flags = rustix::rand::GetRandomFlags::empty();
        // A call that a signal interrupts is made again.
        filled += rustix::rand::getrandom(rest, flags).unwrap_or(0);
    }
    BASE64URL_NOPAD.encode(&bytes).into()
}

/// Answers a request, when there is something to answer it with.
pub(crate) async fn answer(
    app: &Arc<App>,
    from: Whence,
    request: hyper::Request<Incoming>,
    held: Held,
) -> Response<Body> {
    let allowed = request.headers().get(header::ORIGIN).cloned();
    let mut response = if !origin::is_allowed(request.headers(), from.client, &app.origins) {
        return refused(Refusal::Forbidden);
    } else if request.method() == Method::OPTIONS {
        preflight()
    } else {
        match route(app, from, request, held).await {
            Ok(response) => response,
            Err(refusal) => refused(refusal),
        }
    };
    if let Some(origin) = allowed {
        // A page of another port reads the answer only when it says so.
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

async fn route(
    app: &Arc<App>,
    from: Whence,
    request: hyper::Request<Incoming>,
    held: Held,
) -> Result<Response<Body>, Refusal> {
    let is_upgrade = upgrade::has_token(request.headers(), header::UPGRADE, "websocket");
    let query = request.uri().query().unwrap_or_default().to_owned();
    let agent = || request.headers().get(header::USER_AGENT).map_or(&b""[..], |one| one.as_bytes());
    match Route::of(request.method().as_str(), &query, is_upgrade)? {
        Route::Open(transport) => {
            if app.is_draining() {
                return Err(Refusal::Forbidden);
            }
            if app.is_full() {
                app.metrics.refused("full");
                return Err(Refusal::Forbidden);
            }
            let opened = Opened { transport, from, agent: agent().into(), held };
            match transport {
                Transport::Polling => poll(carrier::open(app, opened, None)).await,
                Transport::WebSocket => shake_hands(app, request, Next::Open(opened)),
            }
        }
        Route::Poll(sid) => poll(app.sio.clients.find(&sid)?).await,
        Route::Push(sid) => {
            let client = app.sio.clients.find(&sid)?;
            push(app, &client, request.into_body()).await
        }
        Route::Upgrade(sid) => {
            let client = app.sio.clients.find(&sid)?;
            match client.input(|session, now| session.begin_upgrade(now)) {
                Err(Refusal::UnknownSession) => Err(Refusal::UnknownSession),
                // One too many is opened and closed: a browser is not told a status.
                Err(_) => shake_hands(app, request, Next::Close),
                Ok(()) => shake_hands(app, request, Next::Hand(client, held)),
            }
        }
    }
}

/// What is done with a WebSocket once it is there.
enum Next {
    Open(Opened),
    Hand(Arc<Client>, Held),
    Close,
}

fn shake_hands(
    app: &Arc<App>,
    mut request: hyper::Request<Incoming>,
    next: Next,
) -> Result<Response<Body>, Refusal> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let checked = upgrade::check(request.method(), request.headers());
    let (Some(upgrade), Ok(accept)) = (upgrade, checked) else {
        if let Next::Hand(client, _) = &next {
            client.hand(None);
        }
        return Err(Refusal::BadRequest);
    };
    // Its headers are slices of the connection's read buffer and would hold it.
    drop(request);
    tokio::spawn(begin(app.clone(), upgrade, next));
    Ok(upgrade::switch(accept))
}

async fn begin(app: Arc<App>, upgrade: OnUpgrade, next: Next) {
    let socket = wire::accept(upgrade, app.sio.settings.max_payload).await;
    if let (Next::Open(Opened { held, .. }) | Next::Hand(_, held), Some(_)) = (&next, &socket) {
        held.1.upgrade();
    }
    match (next, socket) {
        (Next::Open(opened), Some(socket)) => drop(carrier::open(&app, opened, Some(socket))),
        (Next::Hand(client, held), socket) => client.hand(socket.map(|socket| (socket, held))),
        (Next::Close, Some(socket)) => carrier::close(socket, carrier::NORMAL, None).await,
        (Next::Open(_) | Next::Close, None) => {}
    }
}

/// Waits for what the session has to say.
async fn poll(client: Arc<Client>) -> Result<Response<Body>, Refusal> {
    let hanging = Hanging::begin(&client)?;
    hanging.end().await.map(|body| reply(StatusCode::OK, Body::from(body)))
}

async fn push(app: &App, client: &Client, body: Incoming) -> Result<Response<Body>, Refusal> {
    client.input(|session, _| session.begin_push())?;
    let unfinished = Unfinished::begin(client);
    // Without a time limit a body that never ends would be held longer than the session lives.
    let body = Limited::new(body, app.sio.settings.max_payload).collect();
    let body = tokio::time::timeout(app.limits.body_timeout, body).await;
    let body = body.map_err(|_| Refusal::BadRequest)?.map_err(|_| Refusal::TooLarge)?.to_bytes();
    unfinished.end();
    client.input(|session, now| session.push(now, body))?;
    Ok(reply(StatusCode::OK, Body::from("ok")))
}

fn reply(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=UTF-8");
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(refusal: Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = reply(status, Body::from(refusal.body()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The answer to a page that asks whether it may send what is more than a plain form.
fn preflight() -> Response<Body> {
    let mut response = reply(StatusCode::NO_CONTENT, Body::empty());
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("authorization, content-type");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    response
}
