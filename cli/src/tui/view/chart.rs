//! Values over time. In: lines of points, marks on the time axis, the span to show. Out: a chart
//! with its axes; each line is named at its right end, so that it needs no colour to be told
//! apart. The value axis begins at 0, so that a growth looks as large as it is.

use super::super::app::{App, SPANS_S};
use super::super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{self, Canvas};

/// Columns of the value axis.
const AXIS: u16 = 10;
/// Columns at the right, in which lines are named.
const NAMES: u16 = 16;

/// One line.
pub(super) struct Series {
    /// Its name.
    pub(super) name: &'static str,
    /// Its colour.
    pub(super) color: Color,
    /// Milliseconds and values, in the order of time.
    pub(super) points: Vec<(u64, f64)>,
}

/// Something that happened at a moment.
pub(super) struct Mark {
    /// When, milliseconds.
    pub(super) t_ms: u64,
    /// The sign for it.
    pub(super) sign: &'static str,
}

/// What a chart shows.
pub(super) struct Chart<'a> {
    /// Its heading.
    pub(super) title: &'a str,
    /// Its lines.
    pub(super) series: Vec<Series>,
    /// Signs under the time axis.
    pub(super) marks: Vec<Mark>,
    /// How a value is written.
    pub(super) written: fn(f64) -> String,
}

/// The part of time that is shown, milliseconds.
fn window(app: &App) -> (f64, f64) {
    let now = app.shown().now_ms.max(1_000) as f64;
    match SPANS_S[app.span] {
        Some(seconds) => ((now - seconds as f64 * 1_000.0).max(0.0), now),
        None => (0.0, now),
    }
}

/// Draws a chart.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme, chart: &Chart<'_>) {
    let [heading, body, times] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(area);
    let [axis, plot, names] = Layout::horizontal([
        Constraint::Length(AXIS),
        Constraint::Fill(1),
        Constraint::Length(NAMES),
    ])
    .areas(body);
    let (from, to) = window(app);
    let top = round_up(highest(&chart.series, from));
    frame.render_widget(Line::styled(chart.title.to_owned(), theme.strong()), heading);
    draw_axis(frame, axis, top, chart.written, theme);
    draw_lines(frame, plot, [from, to, top], theme, chart);
    draw_names(frame, names, top, theme, chart);
    let below = Rect { x: plot.x, width: plot.width, ..times };
    draw_times(frame, below, (from, to), theme, &chart.marks);
}

fn draw_lines(
    frame: &mut Frame<'_>,
    area: Rect,
    [from, to, top]: [f64; 3],
    theme: Theme,
    chart: &Chart<'_>,
) {
    let canvas =
        Canvas::default().marker(Marker::Braille).x_bounds([from, to]).y_bounds([0.0, top]).paint(
            |context| {
                for series in &chart.series {
                    let color = theme.line(series.color);
                    for pair in series.points.windows(2) {
                        let [(a, y1), (b, y2)] = [pair[0], pair[1]];
                        if (b as f64) < from {
                            continue;
                        }
                        let (x1, x2) = (a as f64, b as f64);
                        context.draw(&canvas::Line { x1: x1.max(from), y1, x2, y2, color });
                    }
                    context.layer();
                }
            },
        );
    frame.render_widget(canvas, area);
}

/// The top, the middle and the bottom of the value axis.
fn draw_axis(
    frame: &mut Frame<'_>,
    area: Rect,
    top: f64,
    written: fn(f64) -> String,
    theme: Theme,
) {
    let last = area.height.saturating_sub(1);
    for (row, value) in [(0, top), (last / 2, middle(top, last)), (last, 0.0)] {
        let label = Line::styled(format!("{} ", written(value)), theme.quiet()).right_aligned();
        frame.render_widget(label, Rect { y: area.y + row, height: 1, ..area });
    }
}

/// The value at the row of the middle label.
fn middle(top: f64, last: u16) -> f64 {
    if last == 0 { top } else { top * (1.0 - f64::from(last / 2) / f64::from(last)) }
}

/// Names and last values at the heights where the lines end; moved apart where they would meet.
fn draw_names(frame: &mut Frame<'_>, area: Rect, top: f64, theme: Theme, chart: &Chart<'_>) {
    let last = area.height.saturating_sub(1);
    let mut labels: Vec<(u16, &Series, f64)> = chart
        .series
        .iter()
        .filter_map(|series| {
            let value = series.points.last()?.1;
            let row = ((1.0 - value / top) * f64::from(last)).round().clamp(0.0, f64::from(last));
            Some((row as u16, series, value))
        })
        .collect();
    labels.sort_by_key(|(row, ..)| *row);
    let mut free = 0;
    let count = labels.len() as u16;
    for (place, (row, series, value)) in labels.into_iter().enumerate() {
        let left = count - 1 - place as u16;
        let row = row.max(free).min(last.saturating_sub(left));
        free = row + 1;
        let words = format!(" {} {}", series.name, (chart.written)(value));
        let label = Line::from(Span::styled(words, theme.line(series.color)));
        frame.render_widget(label, Rect { y: area.y + row, height: 1, ..area });
    }
}

/// The time axis, with the marks in it.
fn draw_times(
    frame: &mut Frame<'_>,
    area: Rect,
    (from, to): (f64, f64),
    theme: Theme,
    marks: &[Mark],
) {
    let width = usize::from(area.width);
    if width == 0 {
        return;
    }
    let mut cells = vec!["─".to_owned(); width];
    for mark in marks {
        let t = mark.t_ms as f64;
        if t < from || t > to {
            continue;
        }
        let place = ((t - from) / (to - from) * (width - 1) as f64).round() as usize;
        cells[place.min(width - 1)] = mark.sign.to_owned();
    }
    frame.render_widget(Line::styled(cells.concat(), theme.quiet()), area);
    let start = format!("{} ", seconds(from));
    let end = format!(" {}", seconds(to));
    let left = Rect { x: area.x.saturating_sub(AXIS), width: AXIS, ..area };
    frame.render_widget(Line::styled(start, theme.quiet()).right_aligned(), left);
    let right = Rect { x: area.x + area.width, width: NAMES, ..area };
    frame.render_widget(Line::styled(end, theme.quiet()), right);
}

fn seconds(ms: f64) -> String {
    let whole = (ms / 1_000.0).round() as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

fn highest(series: &[Series], from: f64) -> f64 {
    series
        .iter()
        .flat_map(|series| &series.points)
        .filter(|(t_ms, _)| *t_ms as f64 >= from)
        .map(|(_, value)| *value)
        .fold(0.0, f64::max)
}

/// The next quarter step above a power of two, so that axes stand still for a while.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let unit = 2.0_f64.powf(value.log2().floor());
    [1.0, 1.25, 1.5, 1.75, 2.0]
        .into_iter()
        .map(|step| step * unit)
        .find(|top| *top >= value * 1.02)
        .unwrap_or(unit * 2.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_a_little_above_the_highest_value() {
        for value in [0.3, 1.0, 5.0, 1_000.0, 123_456_789.0] {
            let top = round_up(value);
            assert!(top > value && top < value * 1.6, "{value} {top}");
        }
        assert_eq!(round_up(0.0), 1.0);
        assert_eq!(round_up(f64::NAN), 1.0);
    }
}
