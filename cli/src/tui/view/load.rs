//! The page of load: offered and achieved rate over time, and what it amounts to so far.
//! In: the app. Out: a chart and figures below it.
//! Latencies and failures have pages of their own.

use super::super::app::App;
use super::super::theme::Theme;
use super::chart::{self, Chart, Series};
use ebbtide_record::State;
use ebbtide_record::event::Interval;
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let state = app.shown();
    let lines = figures_of(state, theme);
    let [top, below] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(lines.len() as u16)]).areas(area);
    if state.intervals.is_empty() {
        frame.render_widget(Line::styled("no load was made here", theme.quiet()), top);
        return;
    }
    chart::draw(frame, top, app, theme, &rate_chart(state));
    frame.render_widget(Paragraph::new(lines), below);
}

fn rate(interval: &Interval, count: u64) -> f64 {
    count as f64 * 1_000.0 / interval.duration_ms.max(f64::MIN_POSITIVE)
}

fn rate_chart(state: &State) -> Chart<'static> {
    let points = |value: fn(&Interval) -> Option<u64>| -> Vec<(u64, f64)> {
        state
            .intervals
            .iter()
            .filter_map(|at| Some((at.t_ms, rate(&at.value, value(&at.value)?))))
            .collect()
    };
    let messages = points(|interval| {
        let sum = interval.messages_sent + interval.messages_received;
        (sum > 0).then_some(sum)
    });
    let all = [
        Series { name: "offered", color: Color::Yellow, points: points(|i| i.offered) },
        Series { name: "done", color: Color::Green, points: points(|i| Some(i.requests)) },
        Series { name: "messages", color: Color::Blue, points: messages },
    ];
    Chart {
        title: "per second: iterations offered, exchanges done, messages",
        series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
        marks: Vec::new(),
        written: |value| figures::count(value.round() as u64),
    }
}

fn figures_of(state: &State, theme: Theme) -> Vec<Line<'static>> {
    let totals = &state.totals;
    let generator = state.generator();
    let last = state.intervals.last().map(|at| at.value.clone()).unwrap_or_default();
    let pair = |name: &str, value: String| {
        vec![Span::styled(format!("{name:<22}"), theme.quiet()), Span::raw(value)]
    };
    let count = figures::count;
    vec![
        Line::default(),
        Line::from(pair(
            "exchanges",
            format!("{} ({} failed)", count(totals.requests), count(totals.failed)),
        )),
        Line::from(pair(
            "iterations",
            format!("{} ({} dropped)", count(totals.iterations), count(totals.dropped)),
        )),
        Line::from(pair(
            "messages",
            format!(
                "{} sent, {} received",
                count(totals.messages_sent),
                count(totals.messages_received)
            ),
        )),
        Line::from(pair("virtual users", count(last.vus))),
        Line::from(pair(
            "generator",
            format!(
                "{} of its threads' time, starts late by {} (p99)",
                figures::percent(generator.cpu_fraction),
                figures::millis(generator.late_start_p99_ms)
            ),
        )),
    ]
}
