//! What the heap showed. In goes the state, out go the rounds in short, and the sites with
//! growth per operation, its interval and the word for each. Sites that are steady are counted,
//! not listed, unless nothing else is there. Stacks and series are left to the HTML report.

use super::Style;
use super::table::{Cell, Paint, Table, wrapped};
use crate::figures;
use crate::finding::{self, Tone};
use ebbtide_record::verdict::{RoundPoint, SiteVerdict};
use ebbtide_record::{State, Verdict};
use std::fmt::Write as _;

/// Sites listed; the others are in the report and on the screen of `ebb watch`.
const SITES_LISTED: usize = 12;

/// Steady sites listed when nothing grew, so that the table shows what was looked at.
const STEADY_LISTED: usize = 3;

/// Columns of the rounds that a narrow terminal goes without: the time to settle, RSS.
const ROUNDS_DROPPED_FIRST: [usize; 2] = [6, 5];

pub(super) fn rounds(state: &State, style: Style<'_>) -> String {
    let rounds = finding::rounds(state);
    if rounds.is_empty() {
        return String::new();
    }
    let mut table = Table::default();
    let heads = ["round", "input", "operations", "live heap", "change", "RSS", "settled"];
    table.row(
        heads
            .iter()
            .enumerate()
            .map(|(place, head)| {
                let cell = if place == 1 { Cell::left(head) } else { Cell::right(head) };
                cell.paint(Paint::Quiet)
            })
            .collect(),
    );
    let mut before: Option<&RoundPoint> = None;
    for round in &rounds {
        let operations: u64 = round.operations.values().sum();
        let change = before.map_or_else(String::new, |before| {
            figures::bytes_change(round.live_bytes as f64 - before.live_bytes as f64)
        });
        let rss = round.rss_bytes.map_or_else(|| "-".to_owned(), |rss| figures::bytes(rss as f64));
        table.row(vec![
            Cell::right(round.index.to_string()),
            Cell::left(round.phase.key()),
            Cell::right(figures::count(operations)),
            Cell::right(figures::bytes(round.live_bytes as f64)),
            Cell::right(change),
            Cell::right(rss),
            Cell::right(figures::millis(round.settled_ms as f64)),
        ]);
        before = Some(round);
    }
    for column in ROUNDS_DROPPED_FIRST {
        if table.width() > style.width() - 4 {
            table.drop_column(column);
        }
    }
    style.heading("Rounds") + &table.lines(4, style.color)
}

pub(super) fn sites(state: &State, style: Style<'_>) -> String {
    let memory = &state.memory;
    if memory.sites.is_empty() {
        return String::new();
    }
    let moving = memory.sites.iter().filter(|site| site.verdict != Verdict::Steady).count();
    let numbered = || memory.sites.iter().enumerate().map(|(at, site)| (at + 1, site));
    let chosen: Vec<(usize, &SiteVerdict)> = match style.rows {
        Some(rows) => numbered().filter(|(row, _)| rows.contains(row)).collect(),
        None if moving == 0 => numbered().take(STEADY_LISTED).collect(),
        None => numbered()
            .filter(|(_, site)| site.verdict != Verdict::Steady)
            .take(SITES_LISTED)
            .collect(),
    };
    let mut out = style.heading("Sites");
    if !chosen.is_empty() {
        out.push_str(&site_table(&chosen, style));
    }
    let rest = memory.sites.len() - chosen.len();
    if rest > 0 {
        let shown: Vec<usize> = chosen.iter().map(|(row, _)| *row).collect();
        let others = numbered().filter(|(row, _)| !shown.contains(row));
        let steady = others.filter(|(_, site)| site.verdict == Verdict::Steady).count();
        let words = if rest == steady {
            format!("and {rest} more, all steady")
        } else {
            format!("and {rest} more, {steady} of them steady")
        };
        let _ = writeln!(out, "    {}", style.paint(Paint::Quiet, &words));
    }
    out
}

/// A site by its row and its name: `1  hub::subscribe (server/src/hub.rs:62)`.
fn numbered(row: usize, site: &SiteVerdict) -> String {
    format!("{row}  {}", finding::place(&site.function, &site.file, site.line))
}

fn site_table(sites: &[(usize, &SiteVerdict)], style: Style<'_>) -> String {
    let mut table = Table::default();
    let heads = ["site", "kind", "growth per operation", "", "objects", "live", "verdict"];
    table.row(heads.iter().map(|head| Cell::left(head).paint(Paint::Quiet)).collect());
    for (row, site) in sites {
        let operation = match site.growth_per_op.operation.as_str() {
            "" => String::new(),
            operation => format!("per {operation}"),
        };
        table.row(vec![
            Cell::left(numbered(*row, site)),
            Cell::left(site.kind.words()),
            Cell::right(finding::growth(site)),
            Cell::left(operation),
            Cell::right(
                site.objects_per_op.as_ref().map_or_else(String::new, |e| figures::number(e.value)),
            ),
            Cell::right(figures::live(site)),
            Cell::left(site.verdict.key()).paint(Paint::of(Tone::of(site.verdict))),
        ]);
    }
    let room = style.width() - 4;
    if table.width() > room {
        // Objects per operation: said by the verdict's reasons as well.
        table.drop_column(4);
    }
    if table.width() > room {
        return stacked(sites, style);
    }
    table.fit(room, 24);
    table.lines(4, style.color)
}

/// Two lines a site, for a terminal too narrow for one: the name whole, then its figures.
fn stacked(sites: &[(usize, &SiteVerdict)], style: Style<'_>) -> String {
    let mut out = String::new();
    for (row, site) in sites {
        let mut name = Table::default();
        name.row(vec![Cell::left(numbered(*row, site))]);
        name.fit(style.width() - 4, 24);
        out.push_str(&name.lines(4, style.color));
        let operation = match site.growth_per_op.operation.as_str() {
            "" => String::new(),
            operation => format!(" per {operation}"),
        };
        let figures = format!(
            "{}{operation}, {} live, {}",
            finding::growth(site),
            figures::live(site),
            site.kind.words()
        );
        let word = site.verdict.key();
        let indent = 6 + word.len() + 2;
        let room = style.width().saturating_sub(indent);
        for (place, line) in wrapped(&super::clean(&figures), room).iter().enumerate() {
            let painted = style.paint(Paint::of(Tone::of(site.verdict)), word);
            let _ = match place {
                0 => writeln!(out, "      {painted}  {line}"),
                _ => writeln!(out, "{:indent$}{line}", ""),
            };
        }
    }
    out
}
