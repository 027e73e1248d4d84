//! What pages of other origins may ask of the REST interface (the Fetch standard, section 3.2).
//! In: requests that name an origin. Out: the answer to a preflight; headers that let a page read
//! an answer. A request of a page that is not let in is answered all the same: it has no cookie to
//! misuse, and the browser keeps the answer from it.
//! Leaves to others: which origins those are (`origin`), WebSockets (`upgrade`).

use crate::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;

/// What the REST interface understands.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");

/// What a page may send.
const MAY_SEND: HeaderValue = HeaderValue::from_static("authorization, content-type, x-request-id");

/// What a page may read, besides what it always may.
const MAY_READ: HeaderValue = HeaderValue::from_static("retry-after, x-request-id, location");

/// For how many seconds a browser need not ask again; none takes more than two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The answer to a preflight request, if it is one.
pub(crate) fn preflight<B>(request: &Request<B>, is_allowed: bool) -> Option<Response<Body>> {
    let headers = request.headers();
    let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() != Method::OPTIONS || !asks || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    if !is_allowed {
        let detail = "pages of this origin may not ask (allow it in `origins`)";
        let problem = Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail);
        return Some(problem.into_response());
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, MAY_SEND);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Some(response)
}

/// Lets the page of `origin` read the answer, unless the answer says itself who may.
pub(crate) fn open(headers: &mut HeaderMap, origin: HeaderValue) {
    if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, MAY_READ);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
