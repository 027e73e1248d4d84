//! Goroutines as a census: who waits where, as Go's own profile tells it (`goroutine?debug=1`).
//! In: its text, never trusted, and what counts as own code. Out: live tasks by the line of the
//! user's own code in which they wait. Stacks of goroutines are no part of Go's heap profile, so
//! one that never ends is seen here first. Asking for the text is left to `source`. Pure.
//!
//! Source: `printCountProfile` and `printStackRecord` of Go's `runtime/pprof`.

use crate::frame::{Frame, enclosing_function, short_file};
use crate::own::{Ownership, Role};
use ebbtide_record::census::{CensusCount, CensusSite, SCHEMA};
use ebbtide_record::{Census, Kind};
use std::collections::BTreeMap;

/// The first words of the text, before the number of goroutines.
const HEAD: &str = "goroutine profile: total ";

/// Places of one census: a program has some hundred. What is beyond is counted by kind alone.
const SITES_MAX: usize = 4_096;

/// Frames of one stack: Go itself keeps 32, newer versions 128.
const FRAMES_MAX: usize = 256;

/// What runs a connection, where no own code is on the stack.
const CONNECTIONS: &[&str] = &[
    "net/http.(*conn).",
    "net/http.(*persistConn).",
    "net/http.(*http2",
    "net/http.(*connReader).",
];

/// Who does nothing but answer us: the one that writes this very profile.
const ASKED: &str = "runtime/pprof.";

/// Goroutines with the same stack.
struct Group {
    count: u64,
    frames: Vec<Frame>,
}

/// Reads the text. `None` when it is none of Go's.
#[must_use]
pub fn census(text: &str, own: &[String]) -> Option<Census> {
    let total = count(text)?;
    let groups = groups(text);
    let frames = groups.iter().flat_map(|group| group.frames.iter());
    let ownership = Ownership::new(own, frames);
    let mut places: BTreeMap<(Kind, String, String, u32), u64> = BTreeMap::new();
    let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
    let (mut told, mut overflow) = (0, 0);
    for group in groups.iter().filter(|group| !is_answer(group)) {
        let (kind, frame) = place(group, &ownership);
        *kinds.entry(kind).or_default() += group.count;
        told += group.count;
        let key = frame.map_or_else(
            || (kind, "[no names]".to_owned(), String::new(), 0),
            |frame| {
                let function = enclosing_function(&frame.function);
                (kind, function, short_file(&frame.file), frame.line)
            },
        );
        if places.len() < SITES_MAX || places.contains_key(&key) {
            *places.entry(key).or_default() += group.count;
        } else {
            overflow += group.count;
        }
    }
    // Lines that could not be read hide goroutines that are there all the same.
    let untold = total.saturating_sub(told).saturating_sub(1);
    if untold > 0 {
        *kinds.entry(Kind::Task).or_default() += untold;
    }
    Some(Census {
        schema: SCHEMA.to_owned(),
        kinds: kinds.into_iter().map(|(kind, live)| (kind, alive(live))).collect(),
        sites: places.into_iter().map(|(key, live)| site(key, live)).collect(),
        overflow: overflow + untold,
        ..Census::default()
    })
}

/// How many goroutines there are, by the first line of the text.
fn count(text: &str) -> Option<u64> {
    text.lines().next()?.strip_prefix(HEAD)?.trim().parse().ok()
}

/// Go counts who lives, and neither who came nor who went.
fn alive(live: u64) -> CensusCount {
    CensusCount { live, ..CensusCount::default() }
}

fn site((kind, function, file, line): (Kind, String, String, u32), live: u64) -> CensusSite {
    CensusSite { kind, function, file, line, count: alive(live), age_s: None }
}

fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix("#\t") {
            if let (Some(group), Some(frame)) = (groups.last_mut(), frame_of(frame))
                && group.frames.len() < FRAMES_MAX
            {
                group.frames.push(frame);
            }
        } else if let Some((count, _)) = line.split_once(" @ ")
            && let Ok(count) = count.parse()
        {
            groups.push(Group { count, frames: Vec::new() });
        }
    }
    groups
}

/// `0x67091e<tab>main.wait.func1+0x1e<tabs>/srv/app/main.go:16`, what lies between being padding.
fn frame_of(line: &str) -> Option<Frame> {
    let mut fields = line.split('\t').filter(|field| !field.is_empty());
    let (_address, name, place) = (fields.next()?, fields.next()?, fields.next()?);
    let function = name.rsplit_once("+0x").map_or(name, |(function, _)| function);
    let (file, number) = place.rsplit_once(':')?;
    Some(Frame::named(function, file, number.trim().parse().unwrap_or(0)))
}

fn is_answer(group: &Group) -> bool {
    group.frames.first().is_some_and(|frame| frame.function.starts_with(ASKED))
}

/// The innermost line of own code; without one, where the goroutine began.
fn place<'a>(group: &'a Group, ownership: &Ownership<'_>) -> (Kind, Option<&'a Frame>) {
    let mut frames = group.frames.iter();
    if let Some(own) = frames.find(|frame| ownership.role(frame) == Role::Own) {
        return (Kind::Task, Some(own));
    }
    let began = group.frames.iter().rev().find(|frame| !frame.function.starts_with("runtime."));
    let began = began.or(group.frames.last());
    let connects = began
        .is_some_and(|frame| CONNECTIONS.iter().any(|start| frame.function.starts_with(start)));
    (if connects { Kind::Connection } else { Kind::Task }, began)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "goroutine profile: total 306\n\
        300 @ 0x43b256 0x407e5b 0x67091f 0x46b121\n\
        # labels: {\"a\":\"b\"}\n\
        #\t0x67091e\tmain.wait.func1+0x1e\t/srv/app/main.go:16\n\
        \n\
        1 @ 0x430856\n\
        #\t0x4656a4\truntime/pprof.goroutineProfile+0x24\t/usr/lib/go/src/runtime/mprof.go:8\n\
        #\t0x61b5e6\tnet/http.(*conn).serve+0x606\t\t\t/usr/lib/go/src/net/http/server.go:1991\n\
        \n\
        1 @ 0x43b256\n\
        #\t0x465b48\tinternal/poll.runtime_pollWait+0x88\t/usr/lib/go/src/runtime/netpoll.go:305\n\
        #\t0x670aff\tmain.main+0x3f\t\t/srv/app/main.go:26\n\
        #\t0x43ae91\truntime.main+0x211\t/usr/lib/go/src/runtime/proc.go:250\n\
        \n\
        4 @ 0x43b256\n\
        #\t0x465b48\tinternal/poll.runtime_pollWait+0x88\t/usr/lib/go/src/runtime/netpoll.go:305\n\
        #\t0x61b5e6\tnet/http.(*conn).serve+0x606\t/usr/lib/go/src/net/http/server.go:1991\n";

    #[test]
    fn goroutines_are_counted_where_own_code_waits() {
        let census = census(TEXT, &[]).unwrap();
        let rows: Vec<(&str, &str, u32, Kind, u64)> = census
            .sites
            .iter()
            .map(|s| (s.function.as_str(), s.file.as_str(), s.line, s.kind, s.count.live))
            .collect();
        let conn = "net/http.(*conn).serve";
        assert_eq!(
            rows,
            [
                (conn, "net/http/server.go", 1991, Kind::Connection, 4),
                ("main.main", "srv/app/main.go", 26, Kind::Task, 1),
                ("main.wait", "srv/app/main.go", 16, Kind::Task, 300),
            ]
        );
        assert_eq!(census.kinds[&Kind::Task].live, 301);
        assert_eq!((census.kinds[&Kind::Connection].live, census.overflow), (4, 0));
    }

    #[test]
    fn what_is_no_profile_of_goroutines_is_none() {
        for text in ["", "heap profile: 1", "goroutine profile: total many", "\u{1f}\u{8b}"] {
            assert_eq!(census(text, &[]), None, "{text}");
        }
    }

    #[test]
    fn lines_cut_short_lose_no_count() {
        let census = census("goroutine profile: total 9\n5 @ 0x1\n#\t0x1\tmain.f", &[]).unwrap();
        assert_eq!(census.kinds[&Kind::Task].live, 8);
    }
}
