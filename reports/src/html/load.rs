//! What the load measured. In goes the state, out go sections of the page: the doubts about the
//! measurement, thresholds, metrics by name, checks and errors; each is empty when there is
//! nothing to say. What happened when is left to the timeline.

use super::markup::{Cell, escaped, row, table};
use crate::figures;
use crate::finding::{self, Tone};
use crate::text::plain_value;
use ebbtide_record::{Metric, MetricType, State};
use std::fmt::Write as _;

/// Heads of the table of trends and the keys of their values.
const TREND: [(&str, &str); 8] = [
    ("#avg", "avg"),
    ("#min", "min"),
    ("#p50", "med"),
    ("#p90", "p(90)"),
    ("#p95", "p(95)"),
    ("#p99", "p(99)"),
    ("#p99.9", "p(99.9)"),
    ("#max", "max"),
];

pub(super) fn section(state: &State) -> String {
    let mut out = String::new();
    out.push_str(&doubts(state));
    out.push_str(&thresholds(state));
    out.push_str(&metrics(state));
    let (checks, errors) = (checks(state), errors(state));
    if !checks.is_empty() || !errors.is_empty() {
        let _ = writeln!(out, "<div class=\"pair\"><div>{checks}</div><div>{errors}</div></div>");
    }
    out
}

fn doubts(state: &State) -> String {
    if state.warnings.is_empty() && state.missed.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for warning in &state.warnings {
        rows.push_str(&row(&[
            Cell::markup("", format!("<code>{}</code>", escaped(&warning.code))),
            Cell::text(&warning.message),
            Cell::text(&warning.advice),
        ]));
    }
    for missed in &state.missed {
        rows.push_str(&row(&[
            Cell::markup("", format!("<code>missed {}</code>", escaped(&missed.value.what))),
            Cell::text(&missed.value.reason),
            Cell::text(format!("at {}", figures::duration(missed.t_ms as f64))),
        ]));
    }
    let heads = ["warning", "what was seen", "what to do"];
    format!("<h2 id=\"warnings\">Not to be trusted blindly</h2>\n{}", table("", &heads, &rows))
}

fn thresholds(state: &State) -> String {
    let judged = finding::thresholds(state);
    if judged.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for threshold in judged {
        let (tone, word) = if threshold.ok { (Tone::Good, "held") } else { (Tone::Bad, "failed") };
        rows.push_str(&row(&[
            Cell::markup("", format!("<span class=\"pill {}\">{word}</span>", tone.key())),
            Cell::markup("name", format!("<code>{}</code>", escaped(threshold.metric))),
            Cell::markup("", format!("<code>{}</code>", escaped(threshold.expression))),
            Cell::figure(threshold.seen.unwrap_or_else(|| "no value".to_owned())),
        ]));
    }
    let heads = ["", "metric", "condition", "#measured"];
    format!(
        "<h2 id=\"thresholds\">Thresholds</h2>\n<div class=\"narrow\">{}</div>\n",
        table("", &heads, &rows)
    )
}

fn metrics(state: &State) -> String {
    if state.metrics.is_empty() {
        return String::new();
    }
    let (trends, plain): (Vec<_>, Vec<_>) =
        state.metrics.iter().partition(|(_, metric)| metric.metric_type == MetricType::Trend);
    let mut out = String::from("<h2 id=\"metrics\">Metrics</h2>\n");
    if !trends.is_empty() {
        let mut rows = String::new();
        for (name, metric) in trends {
            rows.push_str(&trend_row(name, metric));
        }
        let heads: Vec<_> =
            ["name", "#count"].into_iter().chain(TREND.iter().map(|(head, _)| *head)).collect();
        out.push_str(&table("", &heads, &rows));
    }
    let rows: String = plain
        .into_iter()
        .map(|(name, metric)| {
            row(&[
                Cell::markup("name", format!("<code>{}</code>", escaped(name))),
                Cell::figure(plain_value(metric)),
            ])
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(
            out,
            "<div class=\"scroll narrow\">{}</div>",
            table("", &["name", "#value"], &rows)
        );
    }
    out
}

fn trend_row(name: &str, metric: &Metric) -> String {
    let mut cells = vec![
        Cell::markup("name", format!("<code>{}</code>", escaped(name))),
        Cell::figure(figures::count(metric.value("count").unwrap_or(0.0) as u64)),
    ];
    for (_, key) in TREND {
        let value = metric.value(key).map(|value| match metric.contains.as_str() {
            "time" => figures::millis(value),
            "data" => figures::bytes(value),
            _ => figures::number(value),
        });
        cells.push(Cell::figure(value.unwrap_or_else(|| "-".to_owned())));
    }
    row(&cells)
}

fn checks(state: &State) -> String {
    if state.checks.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (name, count) in &state.checks {
        let all = count.passes + count.fails;
        let share = if all > 0 { count.passes as f64 / all as f64 } else { 0.0 };
        rows.push_str(&row(&[
            Cell::markup("name", escaped(name)),
            Cell::figure(figures::percent(share)),
            Cell::figure(figures::count(count.passes)),
            Cell::figure(figures::count(count.fails)),
        ]));
    }
    let heads = ["check", "#held", "#passes", "#fails"];
    format!("<h2 id=\"checks\">Checks</h2>\n{}", table("", &heads, &rows))
}

fn errors(state: &State) -> String {
    if state.errors.is_empty() {
        return String::new();
    }
    let mut by_count: Vec<_> = state.errors.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let rows: String = by_count
        .into_iter()
        .map(|(reason, count)| {
            row(&[Cell::markup("name", escaped(reason)), Cell::figure(figures::count(*count))])
        })
        .collect();
    format!("<h2 id=\"errors\">Errors</h2>\n{}", table("", &["reason", "#exchanges"], &rows))
}
