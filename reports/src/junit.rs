//! The run as JUnit XML, for continuous integration: the run itself, its thresholds, its checks
//! and what was found in memory, a suite each, with a case for everything that can fail.
//! In goes the state, out goes one document that both the Jenkins and the Ant schema take.
//!
//! The document is red exactly when the exit code says so: a check that did not always hold is a
//! failure only when a threshold on `checks` failed as well, as in k6. Without such a threshold
//! nothing judges it, and it is shown as skipped, with its share.

use crate::figures;
use crate::finding::{self, Tone};
use ebbtide_record::{State, Verdict};
use std::fmt::Write as _;

/// Exit codes that make a case of the suite `run` fail, and what the case is called.
const RUN_CASES: [(&str, &[i32]); 2] =
    [("the run came to its end", &[1, 130]), ("the measurement is valid", &[95])];

/// Exit code of a run that found a leak.
const EXIT_LEAK: i32 = 98;

/// How a case ended.
enum Outcome {
    Passed(String),
    Skipped(String),
    Failed(String),
    Broken(String),
}

/// One case.
struct Case {
    name: String,
    outcome: Outcome,
}

impl Case {
    fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self { name: name.into(), outcome }
    }
}

/// A suite: its name and its cases.
type Suite = (&'static str, Vec<Case>);

/// The document.
#[must_use]
pub fn render(state: &State) -> String {
    let suites: Vec<Suite> = [
        ("run", run(state)),
        ("thresholds", thresholds(state)),
        ("checks", checks(state)),
        ("memory", memory(state)),
    ]
    .into_iter()
    .filter(|(_, cases)| !cases.is_empty())
    .collect();
    let all = || suites.iter().flat_map(|(_, cases)| cases);
    let seconds = state.now_ms as f64 / 1_000.0;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{seconds:.3}\">",
        escaped(name(state)),
        all().count(),
        all().filter(|case| matches!(case.outcome, Outcome::Failed(_))).count(),
        all().filter(|case| matches!(case.outcome, Outcome::Broken(_))).count(),
    );
    for (place, suite) in suites.iter().enumerate() {
        // The whole time stands in the first suite, so that sums over suites are right.
        let seconds = if place == 0 { seconds } else { 0.0 };
        push_suite(&mut out, state, suite, seconds);
    }
    out.push_str("</testsuites>\n");
    out
}

fn name(state: &State) -> &str {
    state.started.as_ref().map_or("ebb", |started| started.name.as_str())
}

fn push_suite(out: &mut String, state: &State, (title, cases): &Suite, seconds: f64) {
    let count =
        |wanted: fn(&Outcome) -> bool| cases.iter().filter(|case| wanted(&case.outcome)).count();
    let at_ms = state.started.as_ref().map_or(0, |started| started.at_unix_ms);
    let moment = figures::utc(at_ms).replace(" UTC", "").replace(' ', "T");
    let _ = writeln!(
        out,
        "  <testsuite name=\"{title}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
         skipped=\"{}\" time=\"{seconds:.3}\" timestamp=\"{moment}\" hostname=\"localhost\">",
        cases.len(),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Broken(_))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    );
    push_properties(out, state);
    let class = escaped(&format!("{}.{title}", name(state).replace('.', "_")));
    for (place, case) in cases.iter().enumerate() {
        let seconds = if place == 0 { seconds } else { 0.0 };
        let _ = write!(
            out,
            "    <testcase classname=\"{class}\" name=\"{}\" time=\"{seconds:.3}\"",
            escaped(&case.name)
        );
        match &case.outcome {
            Outcome::Passed(text) if text.is_empty() => out.push_str("/>\n"),
            Outcome::Passed(text) => {
                let _ = writeln!(out, "><system-out>{}</system-out></testcase>", escaped(text));
            }
            Outcome::Skipped(text) => {
                let _ = writeln!(out, "><skipped message=\"{}\"/></testcase>", escaped(text));
            }
            Outcome::Failed(text) => push_bad(out, "failure", title, text),
            Outcome::Broken(text) => push_bad(out, "error", title, text),
        }
    }
    out.push_str("    <system-out/>\n    <system-err/>\n  </testsuite>\n");
}

fn push_properties(out: &mut String, state: &State) {
    let Some(started) = &state.started else { return };
    out.push_str("    <properties>\n");
    for (key, value) in [
        ("version", started.version.clone()),
        ("seed", started.seed.to_string()),
        ("base", started.base.clone()),
        ("command", started.command.join(" ")),
    ] {
        let value = escaped(&value);
        let _ = writeln!(out, "      <property name=\"{key}\" value=\"{value}\"/>");
    }
    out.push_str("    </properties>\n");
}

/// A failure or an error: its first line is the message, all of it the text.
fn push_bad(out: &mut String, element: &str, kind: &str, text: &str) {
    let first = text.lines().next().unwrap_or_default();
    let _ = writeln!(
        out,
        ">\n      <{element} type=\"{kind}\" message=\"{}\">{}</{element}>\n    </testcase>",
        escaped(first),
        escaped(text).replace("&#10;", "\n")
    );
}

fn run(state: &State) -> Vec<Case> {
    let Some(ended) = &state.ended else {
        let text = "the log has no end: the run was killed, or still goes on".to_owned();
        return vec![Case::new(RUN_CASES[0].0, Outcome::Broken(text))];
    };
    let bad: Vec<_> =
        finding::findings(state).into_iter().filter(|finding| finding.tone != Tone::Good).collect();
    RUN_CASES
        .iter()
        .map(|(name, codes)| {
            let holds = ended.exit_codes.iter().chain([&ended.exit_code]);
            if !holds.into_iter().any(|code| codes.contains(code)) {
                return Case::new(*name, Outcome::Passed(String::new()));
            }
            let words: &[&str] =
                if codes.contains(&95) { &["INVALID"] } else { &["FAILED", "INTERRUPTED"] };
            let found = bad.iter().find(|finding| words.contains(&finding.word.as_str()));
            let text = found.map_or_else(
                || format!("exit code {}", ended.exit_code),
                |finding| lines(&finding.sentence, &finding.notes),
            );
            Case::new(*name, Outcome::Broken(text))
        })
        .collect()
}

fn lines(first: &str, rest: &[String]) -> String {
    std::iter::once(first).chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
}

fn thresholds(state: &State) -> Vec<Case> {
    finding::thresholds(state)
        .iter()
        .map(|judged| {
            let name = format!("{}: {}", judged.metric, judged.expression);
            let seen = judged.seen.as_deref().unwrap_or("no value");
            let outcome = if judged.ok {
                Outcome::Passed(format!("it is {seen}"))
            } else {
                Outcome::Failed(format!("{name} does not hold, it is {seen}"))
            };
            Case::new(name, outcome)
        })
        .collect()
}

fn checks(state: &State) -> Vec<Case> {
    let on_checks = |judged: &&finding::Judged<'_>| judged.metric.starts_with("checks");
    let judged = finding::thresholds(state);
    let is_judged = judged.iter().any(|judged| on_checks(&judged));
    let is_failed = judged.iter().filter(on_checks).any(|judged| !judged.ok);
    state
        .checks
        .iter()
        .map(|(name, count)| {
            let all = count.passes + count.fails;
            let share = if all > 0 { count.passes as f64 / all as f64 } else { 0.0 };
            let (passes, total) = (figures::count(count.passes), figures::count(all));
            let text = format!("held in {} ({passes} of {total})", figures::percent(share));
            let outcome = match (count.fails, is_judged, is_failed) {
                (0, ..) | (_, true, false) => Outcome::Passed(text),
                (_, _, true) => Outcome::Failed(text),
                (_, false, false) => {
                    Outcome::Skipped(format!("{text}; no threshold on `checks` judges it"))
                }
            };
            Case::new(name.clone(), outcome)
        })
        .collect()
}

fn memory(state: &State) -> Vec<Case> {
    let memory = &state.memory;
    if memory.verdict == Verdict::NotWatched {
        return Vec::new();
    }
    let is_leak = state.ended.as_ref().is_some_and(|ended| ended.exit_codes.contains(&EXIT_LEAK));
    let found = finding::findings(state).into_iter().find(|finding| {
        finding.word == memory.verdict.key().to_uppercase() && !finding.sentence.is_empty()
    });
    let text = found.map_or_else(String::new, |finding| lines(&finding.sentence, &finding.notes));
    let outcome = match memory.verdict {
        _ if is_leak => Outcome::Failed(text),
        Verdict::Inconclusive => Outcome::Skipped(text),
        _ => Outcome::Passed(text),
    };
    let mut cases = vec![Case::new("memory is steady", outcome)];
    for site in memory.sites.iter().filter(|site| site.verdict <= Verdict::Growing) {
        let text = format!(
            "{}: {} per {}\n{}",
            site.verdict,
            finding::growth(site),
            match site.growth_per_op.operation.as_str() {
                "" => "operation",
                operation => operation,
            },
            site.reasons.join("\n")
        );
        let name = finding::place(&site.function, &site.file, site.line);
        let outcome = if is_leak { Outcome::Failed(text) } else { Outcome::Passed(text) };
        cases.push(Case::new(name, outcome));
    }
    cases
}

/// Text as XML 1.0 has it; what XML has no character for is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
