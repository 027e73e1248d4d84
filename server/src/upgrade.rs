//! The WebSocket handshake of RFC 6455 section 4.2, and what must be let go of after it.
//! In: a request. Out: the answer, and a task that runs the session.
//! Leaves to others: the session itself (`session`, `sio`), its socket (`wire`).

use crate::app::{App, unix_ms};
use crate::auth::access::{self, Who};
use crate::limits::Whence;
use crate::message::{self, USERNAME_BYTES};
use crate::origin;
use crate::problem::Problem;
use crate::session::{self, Arrival};
use crate::wire::{self, Held};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Times the limit of a message at which the connection ends instead of the message.
const FAR_TOO_LONG: usize = 4;

/// Whether a request asks for a WebSocket, where there is one.
pub(crate) fn is_asked(request: &hyper::Request<Incoming>) -> bool {
    let path = request.uri().path();
    path == "/ws" || (path == "/" && has_token(request.headers(), header::UPGRADE, "websocket"))
}

/// Answers the handshake. The session begins when the answer is written.
pub(crate) fn answer(
    app: &Arc<App>,
    from: Whence,
    mut request: hyper::Request<Incoming>,
    held: Held,
) -> Response<Body> {
    let accept = match check(request.method(), request.headers()) {
        Ok(accept) => accept,
        Err(problem) => {
            app.metrics.refused("handshake");
            return refuse(problem);
        }
    };
    if !origin::is_allowed(request.headers(), from.client, &app.origins) {
        app.metrics.refused("origin");
        let detail = "pages of this origin may not connect (allow it in `origins`)";
        return refuse(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail));
    }
    let arrival = match arrival(app, from, request.uri(), request.headers()) {
        Ok(arrival) => Box::new(arrival),
        Err(problem) => return refuse(problem),
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return refuse(bad("the connection cannot be upgraded"));
    };
    // Its headers are slices of the connection's read buffer and would hold it.
    drop(request);
    tokio::spawn(begin(app.clone(), upgrade, arrival, held));
    switch(accept)
}

/// The answer that makes a connection a WebSocket.
pub(crate) fn switch(accept: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn begin(app: Arc<App>, upgrade: OnUpgrade, arrival: Box<Arrival>, held: Held) {
    let limit = app.limits.message_bytes.saturating_mul(FAR_TOO_LONG);
    if let Some(socket) = wire::accept(upgrade, limit).await {
        held.1.upgrade();
        session::run(app, socket, arrival).await;
    }
    drop(held);
}

/// Checks a handshake; gives the key that answers it.
pub(crate) fn check(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if method != Method::GET {
        return Err(bad("a WebSocket handshake is a GET"));
    }
    if !has_token(headers, header::CONNECTION, "upgrade")
        || !has_token(headers, header::UPGRADE, "websocket")
    {
        let detail = "this is a WebSocket: send `connection: upgrade` and `upgrade: websocket`";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad("`sec-websocket-version` must be 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| bad("`sec-websocket-key` is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| bad("`sec-websocket-key` cannot be answered"))
}

fn arrival(app: &App, from: Whence, uri: &Uri, headers: &HeaderMap) -> Result<Arrival, Problem> {
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes).into();
    let mut arrival = Arrival { from, agent, room: None, username: None, identity: None };
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
    // A browser's WebSocket has no headers of its own: there the token is in the query.
    let mut token = bearer.map(str::to_owned);
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    for (key, value) in pairs {
        match key {
            "room" => {
                let room = decode(value).ok_or_else(|| bad("`room` is not percent-encoded"))?;
                message::check_room(&room).map_err(|refusal| bad(&refusal.to_string()))?;
                arrival.room = Some(room);
            }
            "username" => {
                let name = decode(value).ok_or_else(|| bad("`username` is not percent-encoded"))?;
                if name.len() > USERNAME_BYTES {
                    return Err(bad("`username` is too long"));
                }
                arrival.username = Some(name);
            }
            "token" => token = decode(value),
            _ => {}
        }
    }
    if let Some(token) = token {
        let identity = app.tokens.authenticate(&token, unix_ms());
        let identity = identity.map_err(|error| unauthorized(&error.to_string()))?;
        arrival.identity = Some(identity);
    }
    let who = Who { identity: arrival.identity.as_ref(), open: app.open };
    access::may_come(who).map_err(|denied| unauthorized(&denied.to_string()))?;
    Ok(arrival)
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

/// Percent-decoding as forms have it, with `+` for a space.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether a header that is a list has the token in it, in any case.
pub(crate) fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok());
    tokens.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

fn bad(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_handshake", detail)
}

/// The answer to a handshake that is refused.
pub(crate) fn refuse(problem: Problem) -> Response<Body> {
    let needs_upgrade = problem.status == StatusCode::UPGRADE_REQUIRED;
    let mut response = problem.into_response();
    if needs_upgrade {
        // RFC 9110 section 15.5.22 asks for it.
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        for (text, decoded) in [
            ("lobby", Some("lobby")),
            ("a%20b+c", Some("a b c")),
            ("%C3%A9", Some("é")),
            ("%C3", None),
            ("%zz", None),
            ("%2", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }
}
