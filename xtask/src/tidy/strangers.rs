//! The diagnosis knows no server: `profiler` and `rounds` must find leaks in servers that they
//! have never seen, so they may not name a route, a file or a fault of ours.
//!
//! Comes in: all sources (the server's for its file names). Goes out: a finding for each text in
//! the two crates, outside tests, that names something of the server.

use super::Finding;
use super::source::{Kind, Source};
use std::collections::BTreeSet;

/// The crates that must not know our server.
const STRANGERS: [&str; 2] = ["profiler", "rounds"];

/// Parts of a text that only the reference server could be meant by.
const OF_THE_SERVER: [&str; 7] =
    ["/api/v1", "/socket.io", "/healthz", "--fault", "EBB_SERVER", "ebbtide_server", "server/src"];

/// Checks the texts of the two crates against the server's names.
pub(super) fn check(sources: &[Source], findings: &mut Vec<Finding>) {
    let files: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.folder() == "server")
        .filter_map(|source| Some(format!("{}.rs", source.module()?)))
        .collect();
    for source in sources.iter().filter(|source| STRANGERS.contains(&source.folder())) {
        for token in source.tokens.iter().filter(|token| !token.in_test) {
            let Kind::Text(text) = &token.kind else { continue };
            if let Some(name) = server_name_in(text, &files) {
                let what = format!("`{}` names `{name}` of our server", source.folder());
                let cure = "find it in what the target and the scenario say";
                findings.push(Finding::new(&source.path, token.line, what, cure));
            }
        }
    }
}

/// The first name of the server in a text: a known part, the socket's path, or a file's name.
fn server_name_in<'a>(text: &'a str, files: &'a BTreeSet<String>) -> Option<&'a str> {
    let path_like = |c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c));
    let words = || text.split(path_like);
    OF_THE_SERVER
        .into_iter()
        .find(|name| text.contains(name))
        .or_else(|| words().find(|word| *word == "/ws" || word.starts_with("/ws/")))
        .or_else(|| {
            words().find(|word| files.contains(word.rsplit('/').next().unwrap_or_default()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings_of;

    fn count(path: &str, text: &str) -> usize {
        findings_of(&[("server/src/hub.rs", ""), (path, text)], check).len()
    }

    #[test]
    fn names_of_the_server_are_found() {
        for (path, text) in [
            ("profiler/src/kind.rs", "const A: &str = \"/api/v1/log\";"),
            ("profiler/src/kind.rs", "const A: &str = \"src/hub.rs\";"),
            ("rounds/src/lib.rs", "fn a() { b(\"connect /ws\"); }"),
            ("rounds/src/lib.rs", "const A: [&str; 1] = [\"--fault\"];"),
            ("rounds/src/lib.rs", "const A: &str = r#\"server/src/x\"#;"),
        ] {
            assert_eq!(count(path, text), 1, "{text}");
        }
    }

    #[test]
    fn words_tests_and_other_crates_are_left_alone() {
        for (path, text) in [
            ("profiler/src/kind.rs", "const A: &str = \"hub\"; // hub.rs, /api/v1"),
            ("profiler/src/kind.rs", "const A: &str = \"tungstenite::protocol\";"),
            ("profiler/src/kind.rs", "const A: &str = \"/wss\";"),
            ("profiler/tests/a.rs", "const A: &str = \"server/src/hub.rs\";"),
            ("rounds/src/lib.rs", "#[cfg(test)] mod tests { const A: &str = \"connect /ws\"; }"),
            ("rounds/src/lib.rs", "const A: &str = \"/debug/pprof/heap\";"),
            ("cli/src/demo.rs", "const A: &str = \"--fault\";"),
        ] {
            assert_eq!(count(path, text), 0, "{text}");
        }
    }
}
