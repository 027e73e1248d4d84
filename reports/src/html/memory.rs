//! Memory: the sites with growth per operation and the word for each, their evidence and stacks;
//! the rounds with their snapshots. The evidence stands in the page and is folded by its script,
//! so that it can be read without one.

use super::explain::capital;
use super::markup::{Cell, code_place, escaped, list, row, table};
use crate::explain::Case;
use crate::figures;
use crate::finding::{self, Tone};
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{State, Verdict};
use std::fmt::Write as _;

/// Columns of the table of sites.
const COLUMNS: [&str; 7] =
    ["verdict", "site", "kind", "#growth per operation", "#objects per op", "#live", "over rounds"];

/// Sites explained in full, the worst first: enough to act on, and the page stays small.
const EXPLAINED_MAX: usize = 12;

/// The small line beside each site, in its own units.
const SPARK_WIDTH: f64 = 96.0;
const SPARK_HEIGHT: f64 = 26.0;

pub(super) fn section(state: &State) -> String {
    let mut out = String::new();
    let sites = &state.memory.sites;
    if !sites.is_empty() {
        let numbered = || sites.iter().enumerate();
        let moving: Vec<_> =
            numbered().filter(|(_, site)| site.verdict != Verdict::Steady).collect();
        let steady: Vec<_> =
            numbered().filter(|(_, site)| site.verdict == Verdict::Steady).collect();
        out.push_str("<h2 id=\"sites\">Sites</h2>\n");
        if let Some(words) = finding::detectable(&state.memory) {
            let _ = writeln!(out, "<p class=\"soft\">{}.</p>", escaped(&capital(&words)));
        }
        if moving.is_empty() {
            out.push_str(&site_table(state, &steady));
        } else {
            out.push_str(&site_table(state, &moving));
            if !steady.is_empty() {
                let _ = write!(
                    out,
                    "<details><summary>{} steady</summary>\n{}</details>\n",
                    figures::count(steady.len() as u64)
                        + if steady.len() == 1 { " site" } else { " sites" },
                    site_table(state, &steady)
                );
            }
        }
    }
    out.push_str(&snapshots(state));
    out
}

fn site_table(state: &State, sites: &[(usize, &SiteVerdict)]) -> String {
    let mut rows = String::new();
    for (index, site) in sites {
        rows.push_str(&site_row(*index, site));
        let _ = writeln!(
            rows,
            "<tr class=\"detail\" id=\"site-{index}\"><td colspan=\"{}\">{}</td></tr>",
            COLUMNS.len(),
            evidence(state, *index, site)
        );
    }
    table("", &COLUMNS, &rows)
}

fn site_row(index: usize, site: &SiteVerdict) -> String {
    let tone = Tone::of(site.verdict);
    let worst = if index == 0 && tone == Tone::Bad { " data-worst" } else { "" };
    let per = match site.growth_per_op.operation.as_str() {
        "" => String::new(),
        operation => format!("<small>per {}</small>", escaped(operation)),
    };
    row(&[
        Cell::markup("", format!("<span class=\"pill {}\">{}</span>", tone.key(), site.verdict)),
        Cell::markup(
            "name",
            format!(
                "<button type=\"button\" class=\"row\" data-site=\"{index}\"{worst} \
                 aria-expanded=\"false\" aria-controls=\"site-{index}\">{}</button>",
                code_place(&site.function, &site.file, site.line)
            ),
        ),
        Cell::text(site.kind.words()),
        Cell::markup("num", escaped(&finding::growth(site)) + &per),
        Cell::figure(site.objects_per_op.as_ref().map_or_else(String::new, figures::estimate)),
        Cell::markup(
            "num",
            format!(
                "{}{}",
                figures::bytes(site.live_bytes as f64),
                site.live_objects.map_or_else(String::new, |objects| {
                    format!("<small>{} objects</small>", figures::count(objects))
                })
            ),
        ),
        Cell::markup("", spark(&site.series)),
    ])
}

/// The series as a line from zero to its largest value; no text, the table behind has the values.
fn spark(series: &[f64]) -> String {
    let top = series.iter().copied().fold(0.0, f64::max);
    if series.len() < 2 || top <= 0.0 {
        return String::new();
    }
    let (left, bottom) = (2.0, SPARK_HEIGHT - 2.0);
    let step = (SPARK_WIDTH - 2.0 * left) / (series.len() - 1) as f64;
    let mut path = String::new();
    for (place, value) in series.iter().enumerate() {
        let x = left + step * place as f64;
        let y = bottom - (value / top).max(0.0) * (bottom - 2.0);
        let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { "M" } else { "L" });
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {SPARK_WIDTH} {SPARK_HEIGHT}\" aria-hidden=\"true\">\
         <path class=\"base\" d=\"M2 {bottom}H94\"/><path class=\"s\" d=\"{path}\"/></svg>"
    )
}

fn evidence(state: &State, index: usize, site: &SiteVerdict) -> String {
    let mut facts = site.reasons.clone();
    if let Some(replay) = &site.growth_on_replay {
        facts.push(format!("on replayed input alone: {}", figures::estimate_bytes(replay)));
    }
    let confidence = site.growth_per_op.confidence;
    if confidence > 0.0 {
        facts.push(format!(
            "intervals hold with {} confidence; chance of such growth if there were none: {}",
            figures::percent(confidence),
            probability(site.p_value)
        ));
    }
    if site.container_bytes > 0 {
        facts.push(format!(
            "{} are in containers that grow by doubling; they are not in the growth per operation",
            figures::bytes(site.container_bytes as f64)
        ));
    }
    if !site.kind_from.is_empty() {
        facts.push(format!("the kind is known from: {}", site.kind_from));
    }
    let values: String = site
        .series
        .iter()
        .enumerate()
        .map(|(place, bytes)| {
            row(&[Cell::figure((place + 1).to_string()), Cell::figure(figures::bytes(*bytes))])
        })
        .collect();
    format!(
        "<div class=\"evidence\">\n<div><h3>Live bytes over the rounds</h3>\
         <div data-fit=\"{index}\"></div>\
         <details><summary>Table: live bytes at each snapshot</summary>{}</details></div>\n\
         <div><h3>Evidence</h3>{}</div>\n<div class=\"wide\">{}</div>\n{}</div>",
        table("", &["#snapshot", "#live"], &values),
        list(&facts),
        stack(site),
        explained(state, index, site)
    )
}

/// Cause and cure of a site that grows.
fn explained(state: &State, index: usize, site: &SiteVerdict) -> String {
    if index >= EXPLAINED_MAX || Tone::of(site.verdict) == Tone::Good {
        return String::new();
    }
    let markup = super::explain::markup(&Case::of(state, site, None));
    format!("<div class=\"wide\">{markup}</div>\n")
}

fn probability(p: f64) -> String {
    if p > 0.0 && p < 0.001 { format!("{p:.0e}") } else { figures::number(p) }
}

fn stack(site: &SiteVerdict) -> String {
    if site.stack.is_empty() {
        return String::new();
    }
    let mut out =
        String::from("<h3>Largest stack, the allocating end first</h3><ol class=\"stack\">\n");
    for frame in &site.stack {
        let class = if frame.own { " class=\"own\"" } else { "" };
        let at = match (frame.file.as_str(), frame.line) {
            ("", _) => String::new(),
            (file, 0) => format!(" <span class=\"soft\">{}</span>", escaped(file)),
            (file, line) => format!(" <span class=\"soft\">{}:{line}</span>", escaped(file)),
        };
        let _ = writeln!(out, "<li{class}><code>{}</code>{at}</li>", escaped(&frame.function));
    }
    out.push_str("</ol>");
    out
}

fn snapshots(state: &State) -> String {
    if state.snapshots.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    let mut before: Option<f64> = None;
    let points = finding::rounds(state);
    for (place, taken) in state.snapshots.iter().map(|at| &at.value).enumerate() {
        let live = taken.live_bytes as f64;
        let point = points.iter().find(|point| Some(point.index) == taken.round);
        let operations = point.map_or_else(
            || "-".to_owned(),
            |point| figures::count(point.operations.values().sum()),
        );
        let change = before.map_or_else(String::new, |b| figures::bytes_change(live - b));
        let round = match taken.round {
            Some(round) => format!("{round}, {}", taken.kind.key()),
            None if place == 0 => "before any load".to_owned(),
            None => "by hand".to_owned(),
        };
        let settled = figures::millis(taken.settled_ms as f64)
            + if taken.unsettled { ", deadline passed" } else { "" };
        rows.push_str(&row(&[
            Cell::markup(
                "num",
                format!(
                    "<span class=\"no-js\">{0}</span><button type=\"button\" class=\"needs-js\" \
                     data-snapshot=\"{place}\" aria-pressed=\"false\" \
                     aria-label=\"compare snapshot {0} with the one before\">{0}</button>",
                    taken.index
                ),
            ),
            Cell::text(round),
            Cell::figure(operations),
            Cell::figure(figures::bytes(live)),
            Cell::figure(change),
            Cell::figure(
                taken.rss_bytes.map_or_else(|| "-".to_owned(), |rss| figures::bytes(rss as f64)),
            ),
            Cell::figure(settled),
            Cell::markup("", format!("<code class=\"soft\">{}</code>", escaped(&taken.file))),
        ]));
        before = Some(live);
    }
    let heads =
        ["#snapshot", "round", "#operations", "#live heap", "#change", "#RSS", "#settled", "file"];
    format!(
        "<h2 id=\"snapshots\">Snapshots</h2>\n<p class=\"soft needs-js\">Choose one to see what \
         changed since the one before.</p>\n{}\
         <div id=\"diff\" hidden aria-live=\"polite\"></div>\n",
        table("", &heads, &rows)
    )
}
