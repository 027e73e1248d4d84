//! Habits that make a program die or a test lie: `unwrap` outside tests, ignored tests, tests
//! that sleep.
//!
//! Comes in: one source. Goes out: findings. What clippy sees is seen here, too, so that a word
//! in an attribute cannot switch it off.

use super::Finding;
use super::source::{Kind, Source};
use proc_macro2::Delimiter;

/// Checks for `unwrap`, `#[ignore]` and sleeps in tests.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    for (index, three) in source.tokens.windows(3).enumerate() {
        let (before, Some(name)) = (&three[0], three[1].word()) else { continue };
        if three[2].kind != Kind::Open(Delimiter::Parenthesis) {
            continue;
        }
        let (what, cure) = match name {
            "unwrap" if before.kind == Kind::Mark('.') && !three[1].in_test => (
                "`unwrap` outside tests",
                "return the error, or `expect` with the invariant as its text",
            ),
            "sleep" | "sleep_until" if three[1].in_test && sleeps(source, index + 1) => {
                ("a test that sleeps", "wait for what is to happen, with a deadline")
            }
            _ => continue,
        };
        findings.push(Finding::new(&source.path, three[1].line, what, cure));
    }
    for (open, _) in source.attributes() {
        if source.tokens.get(open + 1).is_some_and(|token| token.is_word("ignore")) {
            let line = source.tokens[open].line;
            let cure = "run it, or take it out";
            findings.push(Finding::new(&source.path, line, "an ignored test", cure));
        }
    }
}

/// Whether the call at `index` blocks a thread, or makes a timer and awaits it. One that is only
/// made, to be counted or selected over, is no sleep.
fn sleeps(source: &Source, index: usize) -> bool {
    let blocks = source.tokens[index.saturating_sub(3)].is_word("thread")
        || source.named_paths().iter().any(|path| path.segments == ["std", "thread", "sleep"]);
    let after = source.close_of(index + 1) + 2;
    blocks || source.tokens.get(after).is_some_and(|token| token.is_word("await"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings_of;

    fn count(path: &str, text: &str) -> usize {
        findings_of(&[(path, text)], |sources, out| check(&sources[0], out)).len()
    }

    #[test]
    fn bad_habits_are_found() {
        for (path, text) in [
            ("a/src/b.rs", "fn a() { b.unwrap(); }"),
            ("a/src/b.rs", "#[cfg(not(test))] fn a() { b.unwrap(); }"),
            ("a/src/b.rs", "#[test] fn a() { std::thread::sleep(b); }"),
            ("a/tests/b.rs", "async fn a() { tokio::time::sleep(b).await; }"),
            ("a/tests/b.rs", "use std::thread::sleep; fn a(b: C) { sleep(b); }"),
            ("a/tests/b.rs", "#[test] #[ignore] fn a() {}"),
            ("a/tests/b.rs", "#[ignore = \"slow\"] fn a() {}"),
        ] {
            assert_eq!(count(path, text), 1, "{path}: {text}");
        }
    }

    #[test]
    fn good_ones_are_left_alone() {
        for (path, text) in [
            ("a/src/b.rs", "fn a() { b.unwrap_or(1); tokio::time::sleep(c); }"),
            ("a/src/b.rs", "#[cfg(test)] mod tests { fn a() { b.unwrap(); } }"),
            ("a/tests/b.rs", "fn a() { b.unwrap(); let sleep = \"sleep(1)\"; }"),
            ("a/tests/b.rs", "fn sleep(a: u8) {} fn b() { let timer = probe::sleep(c); }"),
            ("a/tests/b.rs", "const IGNORED: &str = \"#[ignore]\"; fn ignore() {}"),
        ] {
            assert_eq!(count(path, text), 0, "{path}: {text}");
        }
    }
}
