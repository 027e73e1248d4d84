//! Replies as no sane server sends them, and as sane ones may: the client reads what is HTTP, says
//! what is not, and never mixes one reply up with the next.
//!
//! In: tables of bytes. Out: verdicts of `cargo test`. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

#[path = "support/web.rs"]
mod web;

use ebbtide_loadgen::http::reply::{BodyLength, Chunks, parse_head};
use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, Totals};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use web::{Reply, Web, plain};

async fn drive(base: &str, steps: &str, iterations: u64) -> Totals {
    let text = format!(
        "[target]\nbase = \"{base}\"\n[flow.a]\nexecutor = \"per-vu-iterations\"\nvus = \
         1\niterations = {iterations}\nsteps = [\n{steps}\n]\n"
    );
    let scenario = Scenario::parse(&text, "x.toml").unwrap_or_else(|faults| panic!("{faults}"));
    let plan = Plan::resolve(&scenario, base).unwrap_or_else(|faults| panic!("{faults}"));
    let pass = Pass { threads: 1, ..Pass::default() };
    Engine::start(Arc::new(plan), pass).unwrap().finish().await
}

/// A reply, and the body that is read from it or the failure.
type Case = (&'static str, Result<&'static str, &'static str>);

const GARBLED: Result<&str, &str> = Err("not a valid reply");

const REPLIES: [Case; 32] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok("hi")),
    ("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", Ok("hi")),
    ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", Ok("hi")),
    ("HTTP/1.1 200 OK\r\ncontent-LENGTH:   2  \r\n\r\nhi", Ok("hi")),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", Ok("hi")),
    ("HTTP/1.1 204 No Content\r\n\r\n", Ok("")),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", Ok("")),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Ok("")),
    ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", Ok("")),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", Ok("hi")),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n1;a=\"b\"\r\nh\r\n01\r\ni\r\n\
         000\r\nTrailer: x\r\n\r\n",
        Ok("hi"),
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\n\n",
        Ok("hi"),
    ),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok("hi")),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 \
         OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Ok("hi"),
    ),
    ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Ok("")),
    ("HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok("until the end")),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nhi", Ok("hi")),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", GARBLED),
    ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", GARBLED),
    ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", GARBLED),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", GARBLED),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi", GARBLED),
    ("HTTP/1.1 OK\r\n\r\n", GARBLED),
    ("HTTP/1.1 2000 OK\r\n\r\n", GARBLED),
    ("SSH-2.0-OpenSSH\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!!\r\n0\r\n\r\n", GARBLED),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhi\r\n", GARBLED),
];

/// Reads a reply fed in two pieces, as the client does.
fn read(first: &[u8], second: &[u8]) -> Result<String, ()> {
    let mut buffer = first.to_vec();
    let mut head = parse_head(&buffer, false).map_err(drop)?;
    buffer.extend_from_slice(second);
    loop {
        let parsed = match head.take() {
            Some(parsed) => parsed,
            None => parse_head(&buffer, false).map_err(drop)?.ok_or(())?,
        };
        buffer.drain(..parsed.length);
        match (parsed.status, parsed.body) {
            (101, _) => return Err(()),
            (100..200, _) => {}
            (_, BodyLength::Fixed(length)) => buffer.truncate(length as usize),
            (_, BodyLength::UntilClose) => {}
            (_, BodyLength::Chunked) => {
                let mut chunks = Chunks::default();
                let mut out = Vec::new();
                let (left, right) = buffer.split_at(buffer.len().min(first.len()));
                let used = chunks.feed(left, Some(&mut out)).map_err(drop)?;
                assert!(chunks.is_done() || used == left.len());
                chunks.feed(right, Some(&mut out)).map_err(drop)?;
                assert!(chunks.is_done());
                buffer = out;
            }
        }
        if !(100..200).contains(&parsed.status) {
            return Ok(String::from_utf8(buffer).unwrap());
        }
    }
}

#[test]
fn a_reply_is_the_same_wherever_it_is_split() {
    for (reply, expected) in REPLIES {
        let expected = expected.map(str::to_owned).map_err(drop);
        for split in 0..=reply.len() {
            let (first, second) = reply.as_bytes().split_at(split);
            assert_eq!(read(first, second), expected, "{reply:?} at {split}");
        }
    }
}

#[tokio::test]
async fn replies_are_read_over_a_wire_whole_and_byte_by_byte() {
    for (reply, expected) in REPLIES {
        for pieces in [1, reply.len()] {
            let web = Web::start(move |_| {
                let size = reply.len().div_ceil(pieces);
                let pieces: Vec<Vec<u8>> =
                    reply.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
                if expected.is_err() || reply.contains("1.0 200") || reply.contains(": gzip\r") {
                    return Reply::LastPieces(pieces);
                }
                Reply::Pieces(pieces)
            });
            let body = expected.unwrap_or_default();
            let step = format!("{{ get = \"/\", check = {{ body = {{ is = \"{body}\" }} }} }}");
            let totals = drive(&web.base, &step, 2).await;
            let so_far = totals.so_far();
            match expected {
                Ok(_) => {
                    assert_eq!(so_far.errors, BTreeMap::new(), "{reply:?}");
                    assert_eq!(so_far.metrics["checks"].value("rate"), Some(1.0), "{reply:?}");
                }
                Err(reason) => {
                    let expected = BTreeMap::from([(reason.to_owned(), 2)]);
                    assert_eq!(so_far.errors, expected, "{reply:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_comes_after_a_reply_is_not_taken_for_the_next() {
    let table = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 500 Evil\r\nContent-Length: \
         0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nevil",
    ];
    for reply in table {
        let web = Web::start(move |_| Reply::Bytes(reply.as_bytes().to_vec()));
        let totals = drive(&web.base, "{ get = \"/\", check = { status = \"2xx\" } }", 3).await;
        let so_far = totals.so_far();
        assert_eq!(so_far.errors, BTreeMap::new(), "{reply:?}");
        assert_eq!(so_far.metrics["checks"].value("rate"), Some(1.0), "{reply:?}");
        let connections: BTreeSet<u64> = web.requests().iter().map(|it| it.connection).collect();
        assert_eq!(connections.len(), 3, "{reply:?}: a connection in doubt is given up");
    }
}

#[tokio::test]
async fn heads_of_requests_without_a_body_are_read_alone() {
    let web = Web::start(|request| match request.method.as_str() {
        "HEAD" => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_vec()),
        _ => plain("200 OK", "", "x"),
    });
    let steps = "{ head = \"/\" }, { get = \"/\" }, { request = { method = \"HEAD\", url = \"/\" } \
                 }, { get = \"/\" }";
    let totals = drive(&web.base, steps, 2).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    assert!(web.requests().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn replies_without_end_are_bounded() {
    let endless = |first: &str, again: &str, times: usize| {
        let (first, again) = (first.as_bytes().to_vec(), again.repeat(times).into_bytes());
        Web::start(move |_| Reply::Endless(first.clone(), again.clone()))
    };
    let status = "HTTP/1.1 200 OK\r\n";
    let long = "HTTP/1.1 200 OK\r\nX: ";
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let looks = "{ get = \"/\", check = { body = \"never\" } }";
    let brief = "{ get = \"/\", timeout = \"100ms\" }";
    // First bytes, then these again and again, the step, and how it ends.
    let table = [
        (status, "X: y\r\n", looks, "not a valid reply"),
        (long, "yyyyyyyyyyyyyyyy", looks, "reply too large"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", looks, "not a valid reply"),
        (body, "0123456789abcdef", looks, "reply too large"),
        (body, "0123456789abcdef", brief, "timed out"),
        (chunked, "4\r\nabcd\r\n", looks, "reply too large"),
        (chunked, "4;xxxxxxxxxxxxxx", looks, "not a valid reply"),
        ("HTTP/1.0 200 OK\r\n\r\n", "0123456789abcdef", looks, "reply too large"),
    ];
    for (first, again, step, reason) in table {
        let web = endless(first, again, 1_024);
        let totals = drive(&web.base, step, 1).await;
        let expected = BTreeMap::from([(reason.to_owned(), 1)]);
        assert_eq!(totals.so_far().errors, expected, "{first:?} {again:?}");
    }
}

#[tokio::test]
async fn replies_cut_short_are_failures_and_idle_closes_are_not() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    for length in [0, 1, 17, whole.len() - 5, whole.len() - 1] {
        let web = Web::start(move |_| Reply::Last(whole.as_bytes()[..length].to_vec()));
        let totals = drive(&web.base, "{ get = \"/\" }", 1).await;
        let reason = "connection closed before the reply".to_owned();
        assert_eq!(totals.so_far().errors, BTreeMap::from([(reason, 1)]), "{length}");
    }
    // A server that closes after each reply without having said so: its close is seen meanwhile.
    let web = Web::start(move |_| Reply::Last(whole.as_bytes().to_vec()));
    let totals = drive(&web.base, "{ get = \"/\" }, { think = \"400ms\" }", 3).await;
    assert_eq!(totals.so_far().errors, BTreeMap::new());
    assert_eq!(web.requests().len(), 3);
}
