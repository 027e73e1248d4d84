//! The page of latency: percentiles over time, and of the last second. Corrected latency, from
//! the intended start, is drawn where there is one.
//! In: the app. Out: a chart and a table. The percentiles themselves are left to `loadgen`.

use super::super::app::App;
use super::super::theme::Theme;
use super::chart::{self, Chart, Series};
use ebbtide_record::State;
use ebbtide_record::event::{Interval, Quantiles};
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Color;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row, Table};

/// Lines of the table: a space, a heading, three latencies.
const TABLE: u16 = 5;

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let state = app.shown();
    let [top, _, below] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(TABLE - 1),
    ])
    .areas(area);
    if state.intervals.is_empty() {
        frame.render_widget(Line::styled("no load was made here", theme.quiet()), top);
        return;
    }
    chart::draw(frame, top, app, theme, &latency_chart(state));
    draw_table(frame, below, state, theme);
}

fn shown(interval: &Interval) -> Quantiles {
    interval.corrected.unwrap_or(interval.latency)
}

fn latency_chart(state: &State) -> Chart<'static> {
    let corrected = state.intervals.iter().any(|at| at.value.corrected.is_some());
    let points = |value: fn(&Quantiles) -> f64| -> Vec<(u64, f64)> {
        state
            .intervals
            .iter()
            .filter(|at| shown(&at.value).count > 0)
            .map(|at| (at.t_ms, value(&shown(&at.value))))
            .collect()
    };
    Chart {
        title: if corrected {
            "latency from the intended start (corrected), second by second"
        } else {
            "latency from the actual start, second by second"
        },
        series: vec![
            Series { name: "p99", color: Color::Red, points: points(|q| q.p99) },
            Series { name: "p90", color: Color::Yellow, points: points(|q| q.p90) },
            Series { name: "p50", color: Color::Green, points: points(|q| q.p50) },
        ],
        marks: Vec::new(),
        written: figures::millis,
    }
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let Some(last) = state.intervals.last() else { return };
    let right = |text: String| Text::from(text).right_aligned();
    let rows = [
        ("from the actual start", Some(last.value.latency)),
        ("from the intended start", last.value.corrected),
        ("delivery of messages", last.value.delivery),
    ]
    .into_iter()
    .filter_map(|(name, quantiles)| Some((name, quantiles.filter(|q| q.count > 0)?)))
    .map(|(name, q)| {
        let mut cells = vec![Text::from(name), right(figures::count(q.count))];
        cells.extend([q.mean, q.p50, q.p90, q.p99, q.max].map(|ms| right(figures::millis(ms))));
        Row::new(cells)
    });
    let mut heads = vec![Text::from("last second"), right("count".into())];
    heads.extend(["mean", "p50", "p90", "p99", "max"].map(|name| right(name.into())));
    let mut widths = vec![Constraint::Length(24), Constraint::Length(9)];
    widths.extend([Constraint::Length(8); 5]);
    let table = Table::new(rows, widths).header(Row::new(heads).style(theme.strong()));
    frame.render_widget(table, area);
}
