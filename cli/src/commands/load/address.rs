//! The URL of `ebb load` as hands type it, and how many connections a process may open to it.
//! In: words. Out: a whole URL, or what is wrong. Whether anyone listens there is left to
//! `reach`.

use crate::failure::Failure;
use rustix::process::{Resource, getrlimit};

/// Files that the program needs for itself beside connections: the terminal, the run's folder,
/// the threads' event queues.
const FILES_OF_OUR_OWN: u64 = 64;

/// A whole URL: `localhost:8080` is http, `:8080/x` and `8080` are on this machine.
pub(super) fn whole(typed: &str) -> String {
    if typed.contains("://") {
        return typed.to_owned();
    }
    if typed.starts_with(':') {
        return format!("http://127.0.0.1{typed}");
    }
    let port = typed.split(['/', '?']).next().unwrap_or_default();
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("http://127.0.0.1:{typed}");
    }
    // A single word is more likely a mistake than the name of a machine.
    if port == "localhost" || port.contains(['.', ':', '[']) {
        return format!("http://{typed}");
    }
    typed.to_owned()
}

/// A path on the server at `base`; of a whole URL the scheme and the path count.
///
/// # Errors
///
/// When it is neither.
pub(super) fn on(base: &str, typed: &str) -> Result<String, Failure> {
    let origin = base.trim_start_matches("http://");
    if typed.starts_with('/') {
        return Ok(format!("http://{origin}{typed}"));
    }
    let url = whole(typed);
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Failure::usage(format!(
            "`{typed}` is no path: with `--on-port` write `/{typed}`"
        )));
    };
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    Ok(format!("{scheme}://{origin}{path}"))
}

/// The port that a URL names, if it names one.
pub(super) fn port_wanted(typed: &str) -> Option<u16> {
    let url = whole(typed);
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

/// Whether the process may open so many connections.
///
/// # Errors
///
/// When it may not, with the cure.
pub(super) fn check_connections(connections: u32) -> Result<(), Failure> {
    let Some(most) = getrlimit(Resource::Nofile).maximum else { return Ok(()) };
    if u64::from(connections) + FILES_OF_OUR_OWN <= most {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`--connections {connections}` is more than this process may open, which is {} of {most} \
         files: use fewer, or raise `ulimit -Hn`",
        most.saturating_sub(FILES_OF_OUR_OWN)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_completed_as_they_are_meant() {
        for (typed, meant) in [
            ("http://a/b", "http://a/b"),
            ("ws://a", "ws://a"),
            ("localhost:8080/x?y=1", "http://localhost:8080/x?y=1"),
            ("localhost", "http://localhost"),
            ("example.org", "http://example.org"),
            ("[::1]:80", "http://[::1]:80"),
            (":8080", "http://127.0.0.1:8080"),
            ("8080/x", "http://127.0.0.1:8080/x"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(whole(typed), meant);
        }
    }

    #[test]
    fn a_path_stands_on_the_server_that_was_started() {
        let base = "http://127.0.0.1:4711";
        for (typed, meant) in [
            ("/", "http://127.0.0.1:4711/"),
            ("/a?b", "http://127.0.0.1:4711/a?b"),
            ("ws://localhost/ws", "ws://127.0.0.1:4711/ws"),
            ("http://localhost:3000", "http://127.0.0.1:4711/"),
            (":3000/x", "http://127.0.0.1:4711/x"),
        ] {
            assert_eq!(on(base, typed).unwrap(), meant);
        }
        for (typed, port) in [("/", None), (":3000/x", Some(3_000)), ("ws://a:1/b:2", Some(1))] {
            assert_eq!(port_wanted(typed), port, "{typed}");
        }
        assert!(on(base, "a").unwrap_err().to_string().contains("`/a`"));
    }
}
