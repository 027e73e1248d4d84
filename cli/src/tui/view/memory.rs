//! The page of memory: the resident set against the live heap over time with snapshots as marks,
//! the census by kind, and the rounds.
//! In: the app. Out: a chart and two tables. Sites are left to the page of leaks.

use super::super::app::App;
use super::super::theme::Theme;
use super::chart::{self, Chart, Mark, Series};
use ebbtide_record::event::RoundKind;
use ebbtide_record::{Kind, State};
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row, Table};

/// Lines of the tables: a heading and the kinds.
const TABLES: u16 = Kind::ALL.len() as u16 + 1;
/// Columns of the census, and of its wide form with created and dropped.
const CENSUS: u16 = 38;
const CENSUS_WIDE: u16 = 74;
/// From this width on the tables are wide.
const WIDE: u16 = 130;

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let [top, tables] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(TABLES)]).areas(area);
    chart::draw(frame, top, app, theme, &memory_chart(app.shown()));
    let wide = area.width >= WIDE;
    let census_width = if wide { CENSUS_WIDE } else { CENSUS };
    let [census, rounds] =
        Layout::horizontal([Constraint::Length(census_width), Constraint::Fill(1)])
            .spacing(2)
            .areas(tables);
    draw_census(frame, census, app.shown(), theme, wide);
    draw_snapshots(frame, rounds, app, theme, wide);
}

fn memory_chart(state: &State) -> Chart<'static> {
    let line = |value: fn(&ebbtide_record::event::MemoryPoint) -> Option<u64>| {
        state
            .points
            .iter()
            .filter_map(|point| Some((point.t_ms, value(&point.value)? as f64)))
            .collect()
    };
    let all = [
        Series { name: "RSS", color: Theme::RSS, points: line(|point| point.rss_bytes) },
        Series { name: "live", color: Theme::LIVE, points: line(|point| point.live_bytes) },
    ];
    let marks = state
        .snapshots
        .iter()
        .map(|taken| {
            let warmup = taken.value.kind == RoundKind::Warmup || taken.value.round.is_none();
            Mark { t_ms: taken.t_ms, sign: if warmup { "△" } else { "▲" } }
        })
        .collect();
    Chart {
        title: "resident set (RSS) and live heap; ▲ snapshot, △ outside measured rounds",
        series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
        marks,
        written: figures::bytes,
    }
}

fn right(text: String) -> Text<'static> {
    Text::from(text).right_aligned()
}

fn draw_census(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme, wide: bool) {
    let counted = || state.points.iter().filter(|point| !point.value.census.is_empty());
    let (Some(first), Some(last)) = (counted().next(), counted().next_back()) else {
        let words = if state.points.is_empty() {
            "memory was not seen yet"
        } else {
            "the target counts no objects (no census)"
        };
        frame.render_widget(Line::styled(words, theme.quiet()), area);
        return;
    };
    let rows = Kind::ALL.into_iter().map(|kind| {
        let now = last.value.census.get(&kind).copied().unwrap_or_default();
        let then = first.value.census.get(&kind).copied().unwrap_or_default();
        let change = now.live as i64 - then.live as i64;
        let sign = if change > 0 {
            "+"
        } else if change < 0 {
            "-"
        } else {
            ""
        };
        let mut cells = vec![
            Text::from(kind.words()),
            right(figures::count(now.live)),
            right(format!("{sign}{}", figures::count(change.unsigned_abs()))),
        ];
        if wide {
            cells.push(right(figures::count(now.created)));
            cells.push(right(figures::count(now.dropped)));
        }
        Row::new(cells)
    });
    let mut heads = vec![Text::from("census"), right("live".into()), right("since start".into())];
    let mut widths = vec![Constraint::Length(15), Constraint::Length(10), Constraint::Length(11)];
    if wide {
        heads.extend([right("created".into()), right("dropped".into())]);
        widths.extend([Constraint::Length(15), Constraint::Length(15)]);
    }
    let table = Table::new(rows, widths).header(Row::new(heads).style(theme.strong()));
    frame.render_widget(table, area);
}

/// The newest snapshots, the newest first.
fn draw_snapshots(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme, wide: bool) {
    let state = app.shown();
    let room = usize::from(area.height.saturating_sub(1));
    let rows = state.snapshots.iter().enumerate().rev().take(room).map(|(place, taken)| {
        let snapshot = &taken.value;
        let round = match snapshot.round {
            Some(_) => snapshot.kind.key(),
            None if place == 0 => "start",
            None if state.phases.is_empty() => "",
            None => "by hand",
        };
        let before = place.checked_sub(1).map(|before| &state.snapshots[before].value);
        let change = before.map_or_else(String::new, |before| {
            figures::bytes_change(snapshot.live_bytes as f64 - before.live_bytes as f64)
        });
        let mut cells = vec![
            right(snapshot.index.to_string()),
            Text::from(round),
            right(figures::bytes(snapshot.live_bytes as f64)),
            right(change),
        ];
        if wide {
            cells.push(right(snapshot.live_objects.map_or_else(String::new, figures::count)));
            cells.push(right(
                snapshot.rss_bytes.map_or_else(String::new, |rss| figures::bytes(rss as f64)),
            ));
            let word = if snapshot.unsettled { " not settled" } else { "" };
            cells.push(right(match snapshot.round {
                Some(_) => format!("{}{word}", figures::millis(snapshot.settled_ms as f64)),
                None => String::new(),
            }));
        }
        Row::new(cells)
    });
    let mut heads = vec![
        right("#".into()),
        Text::from("round"),
        right("live heap".into()),
        right("change".into()),
    ];
    let mut widths = vec![
        Constraint::Length(4),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(11),
    ];
    if wide {
        heads.extend([right("objects".into()), right("RSS".into()), right("settled in".into())]);
        widths.extend([Constraint::Length(12), Constraint::Length(10), Constraint::Length(22)]);
    }
    let table = Table::new(rows, widths).header(Row::new(heads).style(theme.strong()));
    frame.render_widget(table, area);
}
