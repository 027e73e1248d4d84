//! The admin interface without a socket: one request in, one reply out.
//! In: a [`Request`] for `/debug/...`. Out: a profile, a snapshot's sidecar, the census, memory,
//! what a route of the host program says, or an error that names what there is.
//! Leaves to others: HTTP and who may ask (`listener`), the work itself (`desk`).

use crate::census::Census;
use crate::desk::{Desk, Trigger, json};
use crate::error::SnapshotError;
use crate::route::{Reply, Request, Route};
use std::panic::{AssertUnwindSafe, catch_unwind};

const HEAP: &str = "/debug/pprof/heap";
const SNAPSHOT: &str = "/debug/snapshot";
const CENSUS: &str = "/debug/census";
const MEMORY: &str = "/debug/memory";

/// Answers one request.
pub(crate) fn respond(desk: &mut Desk, routes: &[Route], request: &Request) -> Reply {
    let expected = match request.path.as_str() {
        HEAP | CENSUS | MEMORY => "GET",
        SNAPSHOT => "POST",
        _ => return elsewhere(routes, request),
    };
    if request.method != expected {
        return Reply::text(405, format!("`{}` takes {expected}\n", request.path));
    }
    if request.query.split('&').any(|pair| pair == "purge=1") {
        desk.purge();
    }
    match request.path.as_str() {
        HEAP => match desk.profile() {
            Ok(body) => Reply { status: 200, content_type: "application/octet-stream", body },
            Err(error) => failed(&error),
        },
        SNAPSHOT => match desk.take(Trigger::Http, 0) {
            Ok(taken) => Reply::json(200, taken.sidecar),
            Err(error) => failed(&error),
        },
        CENSUS => Reply::json(200, json(&Census::count())),
        _ => Reply::json(200, json(&desk.memory())),
    }
}

fn failed(error: &SnapshotError) -> Reply {
    let status = if matches!(error, SnapshotError::Unavailable(_)) { 501 } else { 500 };
    Reply::text(status, format!("{error}\n"))
}

fn elsewhere(routes: &[Route], request: &Request) -> Reply {
    let Some(route) = routes.iter().find(|route| route.covers(&request.path)) else {
        let known = format!("`{}` is not here: {HEAP} {SNAPSHOT} {CENSUS} {MEMORY}", request.path);
        let known = routes.iter().fold(known, |known, route| known + " " + &route.prefix);
        return Reply::text(404, known + "\n");
    };
    // The host's code runs on the probe's thread, which must outlive its mistakes.
    catch_unwind(AssertUnwindSafe(|| (route.responder)(request)))
        .unwrap_or_else(|_| Reply::text(500, format!("the route `{}` panicked\n", route.prefix)))
}
