//! The top of the page. In goes the state, out goes what was run, what was found, and the few
//! figures one looks for first. How findings are worded and ordered is left to
//! [`crate::finding`].

use super::markup::{escaped, list};
use crate::figures;
use crate::finding::{self, Finding};
use ebbtide_record::{RoundKind, State};
use std::fmt::Write as _;

pub(super) fn section(state: &State) -> String {
    let mut out = head(state);
    out.push_str("<main>\n");
    for (place, finding) in finding::findings(state).iter().enumerate() {
        out.push_str(&banner(finding, place > 0));
    }
    out.push_str(&tiles(state));
    out
}

fn head(state: &State) -> String {
    let started = state.started.clone().unwrap_or_default();
    let mut facts = Vec::new();
    if started.at_unix_ms > 0 {
        facts.push(figures::utc(started.at_unix_ms));
    }
    facts.push(figures::duration(state.now_ms as f64));
    if !started.base.is_empty() {
        facts.push(started.base.clone());
    }
    facts.push(format!("seed {}", started.seed));
    format!(
        "<header>\n<p class=\"brand\">Ebbtide {}</p>\n<h1>{}</h1>\n\
         <p class=\"facts\">{}</p>\n</header>\n",
        escaped(&started.version),
        escaped(&started.name),
        escaped(&facts.join(" · "))
    )
}

fn banner(finding: &Finding, minor: bool) -> String {
    format!(
        "<section class=\"banner {}{}\">\n<div class=\"word\">{}</div>\n\
         <p class=\"says\">{}</p>\n{}</section>\n",
        finding.tone.key(),
        if minor { " minor" } else { "" },
        escaped(&finding.word),
        escaped(&finding.sentence),
        list(&finding.notes)
    )
}

fn tiles(state: &State) -> String {
    let mut tiles: Vec<(&str, String, String)> = Vec::new();
    let totals = &state.totals;
    if totals.requests > 0 {
        let seconds = totals.duration_ms / 1_000.0;
        let rate = if seconds > 0.0 { totals.requests as f64 / seconds } else { 0.0 };
        tiles.push((
            "Exchanges",
            figures::count(totals.requests),
            format!("{}/s under load", figures::number(rate)),
        ));
        let share = totals.failed as f64 / totals.requests as f64;
        tiles.push(("Failed", figures::count(totals.failed), figures::percent(share)));
    }
    let latency = ["http_req_duration", "ws_msg_rtt"]
        .iter()
        .find_map(|name| state.metrics.get(*name).map(|metric| (*name, metric)));
    if let Some((name, metric)) = latency
        && let (Some(p99), Some(median)) = (metric.value("p(99)"), metric.value("med"))
    {
        let protocol = if name.starts_with("http") { "HTTP p99" } else { "Message p99" };
        tiles.push((protocol, figures::millis(p99), format!("median {}", figures::millis(median))));
    }
    tiles.extend(memory_tiles(state));
    if tiles.is_empty() {
        return String::new();
    }
    let mut out = String::from("<dl class=\"tiles\">\n");
    for (name, value, more) in tiles {
        let _ = writeln!(
            out,
            "<div><dt>{}</dt><dd>{} <small>{}</small></dd></div>",
            escaped(name),
            escaped(&value),
            escaped(&more)
        );
    }
    out.push_str("</dl>\n");
    out
}

/// Change over the measured rounds, from the last warm-up round on: what fills once is no news.
fn memory_tiles(state: &State) -> Vec<(&'static str, String, String)> {
    let mut tiles = Vec::new();
    let mut tile = |name, from: f64, to: f64| {
        let between = format!("{} to {}", figures::bytes(from), figures::bytes(to));
        tiles.push((name, figures::bytes_change(to - from), between));
    };
    let rounds = finding::rounds(state);
    let warm = rounds.iter().rposition(|round| round.phase == RoundKind::Warmup).unwrap_or(0);
    if let (Some(first), Some(last)) = (rounds.get(warm), rounds.last())
        && rounds.len() > warm + 1
    {
        tile("Live heap, once warm", first.live_bytes as f64, last.live_bytes as f64);
        if let (Some(from), Some(to)) = (first.rss_bytes, last.rss_bytes) {
            tile("RSS, once warm", from as f64, to as f64);
        }
    } else {
        let rss: Vec<_> = state.points.iter().filter_map(|point| point.value.rss_bytes).collect();
        if let (Some(from), Some(to)) = (rss.first(), rss.last()) {
            tile("RSS", *from as f64, *to as f64);
        }
    }
    if let Some(bytes) = state.memory.detectable_bytes_per_op {
        tiles.push(("Detectable growth", figures::bytes(bytes), "per operation".to_owned()));
    }
    tiles
}
