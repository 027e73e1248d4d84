//! The run as Markdown, for the summary of a build step or a comment: what was found first, then
//! thresholds, results, errors, checks, memory. In goes the state, out goes text in the dialect
//! of GitHub and GitLab, no longer than a comment may be.
//!
//! Nothing in a name can leave its cell: Markdown and HTML in it are shown, not obeyed.

use crate::figures;
use crate::finding::{self, Tone};
use crate::text::plain_value;
use ebbtide_record::{Metric, MetricType, State, Verdict};
use std::fmt::Write as _;

/// Characters of a comment on GitHub at most; it counts characters, we count bytes.
pub const LENGTH_MAX: usize = 65_536;

/// Room kept for the line that says what was left out.
const LAST_LINE: usize = 200;

/// Rows of a table: more is not read in a comment, and the other reports have all of them.
const ROWS_MAX: usize = 40;

/// Characters of a name before its middle is left out.
const NAME_MAX: usize = 160;

/// Columns of a trend: heading and key.
const TREND: [(&str, &str); 6] = [
    (">avg", "avg"),
    (">p50", "med"),
    (">p90", "p(90)"),
    (">p99", "p(99)"),
    (">p99.9", "p(99.9)"),
    (">max", "max"),
];

/// The summary.
#[must_use]
pub fn render(state: &State) -> String {
    let sections = [
        thresholds(state),
        trends(state),
        plain(state),
        errors(state),
        checks(state),
        warnings(state),
        sites(state),
        how(state),
    ];
    let mut out = head(state);
    let mut left_out = 0;
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if out.len() + section.len() + LAST_LINE > LENGTH_MAX {
            left_out += 1;
        } else {
            out.push('\n');
            out.push_str(section);
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "\n{left_out} sections left out: see the run's `report.html`.");
    }
    out
}

fn head(state: &State) -> String {
    let findings = finding::findings(state);
    let name = state.started.as_ref().map_or("ebb", |started| started.name.as_str());
    let mut out = String::new();
    for (place, finding) in findings.iter().enumerate() {
        let mark = match finding.tone {
            Tone::Bad => "❌",
            Tone::Doubt => "⚠️",
            Tone::Good | Tone::Plain => "✅",
        };
        let sentence = escaped(&finding.sentence);
        if place == 0 {
            let _ = writeln!(out, "## {mark} {}: {}\n\n{sentence}", finding.word, escaped(name));
        } else {
            let _ = writeln!(out, "\n{mark} **{}** {sentence}", finding.word);
        }
        for note in finding.notes.iter().take(ROWS_MAX) {
            let _ = writeln!(out, "- {}", escaped(note));
        }
    }
    out
}

/// A table under a heading, or nothing without rows; `>` before a heading stands over figures.
fn table(title: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let words: Vec<&str> = heads.iter().map(|head| head.trim_start_matches('>')).collect();
    let mut out = format!("### {title}\n\n| {} |\n|", words.join(" | "));
    for head in heads {
        out.push_str(if head.starts_with('>') { "---:|" } else { "---|" });
    }
    out.push('\n');
    for row in rows.iter().take(ROWS_MAX) {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    if rows.len() > ROWS_MAX {
        let _ = writeln!(out, "\nand {} more", rows.len() - ROWS_MAX);
    }
    out
}

fn thresholds(state: &State) -> String {
    let rows: Vec<_> = finding::thresholds(state)
        .iter()
        .map(|judged| {
            vec![
                if judged.ok { "✅" } else { "❌" }.to_owned(),
                escaped(judged.metric),
                escaped(judged.expression),
                escaped(judged.seen.as_deref().unwrap_or("no value")),
            ]
        })
        .collect();
    table("Thresholds", &["", "metric", "condition", ">seen"], &rows)
}

fn trends(state: &State) -> String {
    let rows: Vec<_> = state
        .metrics
        .iter()
        .filter(|(_, metric)| metric.metric_type == MetricType::Trend)
        .filter(|(_, metric)| metric.value("count").is_some_and(|count| count > 0.0))
        .map(|(name, metric)| {
            let count = figures::count(metric.value("count").unwrap_or(0.0) as u64);
            let cells = TREND.iter().map(|(_, key)| figure(metric, key));
            [escaped(name), count].into_iter().chain(cells).collect()
        })
        .collect();
    let heads: Vec<&str> =
        ["", ">count"].into_iter().chain(TREND.iter().map(|(head, _)| *head)).collect();
    table("Times", &heads, &rows)
}

fn figure(metric: &Metric, key: &str) -> String {
    metric.value(key).map_or_else(
        || "-".to_owned(),
        |value| match metric.contains.as_str() {
            "time" => figures::millis(value),
            "data" => figures::bytes(value),
            _ => figures::number(value),
        },
    )
}

fn plain(state: &State) -> String {
    let rows: Vec<_> = state
        .metrics
        .iter()
        .filter(|(_, metric)| metric.metric_type != MetricType::Trend)
        .map(|(name, metric)| vec![escaped(name), plain_value(metric)])
        .collect();
    table("Counts", &["", "value"], &rows)
}

fn errors(state: &State) -> String {
    let mut by_count: Vec<_> = state.errors.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let row = |(reason, count): (&String, &u64)| vec![escaped(reason), figures::count(*count)];
    table("Errors", &["", ">count"], &by_count.into_iter().map(row).collect::<Vec<_>>())
}

fn checks(state: &State) -> String {
    let rows: Vec<_> = state
        .checks
        .iter()
        .map(|(name, count)| {
            let all = count.passes + count.fails;
            let share = if all > 0 { count.passes as f64 / all as f64 } else { 0.0 };
            vec![
                if count.fails == 0 { "✅" } else { "❌" }.to_owned(),
                escaped(name),
                figures::percent(share),
                format!("{} of {}", figures::count(count.passes), figures::count(all)),
            ]
        })
        .collect();
    table("Checks", &["", "check", ">held", ">in"], &rows)
}

fn warnings(state: &State) -> String {
    if state.warnings.is_empty() {
        return String::new();
    }
    let mut out = "### Not to be trusted blindly\n\n".to_owned();
    for warning in state.warnings.iter().take(ROWS_MAX) {
        let _ = writeln!(out, "- {}: {}", escaped(&warning.message), escaped(&warning.advice));
    }
    out
}

fn sites(state: &State) -> String {
    let rows: Vec<_> = state
        .memory
        .sites
        .iter()
        .filter(|site| site.verdict != Verdict::Steady)
        .map(|site| {
            vec![
                escaped(&finding::place(&site.function, &site.file, site.line)),
                site.verdict.to_string(),
                finding::growth(site),
                escaped(&site.growth_per_op.operation),
                figures::live(site),
                site.kind.words().to_owned(),
            ]
        })
        .collect();
    let heads = ["", "verdict", ">growth", "per", ">live", "kind"];
    table("Memory", &heads, &rows)
}

/// How to have the run again, and who measured it.
fn how(state: &State) -> String {
    let Some(started) = &state.started else { return String::new() };
    let command: Vec<String> = started.command.iter().map(|w| crate::shell::quoted(w)).collect();
    let mut out = String::new();
    if !command.is_empty() {
        let shown = clipped(&one_line(&command.join(" ")), LENGTH_MAX / 16);
        // A run of backticks inside would end the fence.
        let _ = writeln!(out, "```sh\n{}\n```\n", shown.replace("```", "'''"));
    }
    let _ = writeln!(
        out,
        "<sub>{}, seed {}, ebb {}</sub>",
        figures::duration(state.now_ms as f64),
        started.seed,
        escaped(&started.version)
    );
    out
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn clipped(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let end: String = chars[chars.len() - half..].iter().collect();
    chars[..half].iter().chain(['…'].iter()).collect::<String>() + &end
}

/// Text as Markdown shows it: on one line, its marks without meaning.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clipped(&one_line(text), NAME_MAX).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A name after it would be told of the comment.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
