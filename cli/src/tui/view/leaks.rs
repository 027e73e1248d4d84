//! The page of leaks: the table of sites, with growth over all rounds or between two snapshots.
//! In: the app. Out: a heading and a table, with more columns where there is room.
//! Which rows there are, and in which order, is left to `row`.

use super::super::app::{App, Overlay};
use super::super::row::{SiteRow, rows_of};
use super::super::theme::Theme;
use super::text::{cut, fit_place};
use ebbtide_reports::figures;
use ebbtide_rounds::archive::PER_SECOND;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table, TableState};

/// From this width on there is room for more columns.
const WIDE: u16 = 130;
/// Columns of a growth with its interval.
const GROWTH: u16 = 18;

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let [heading, body] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::styled(heading_words(app), theme.strong()), heading);
    let rows = rows_of(app);
    if rows.is_empty() {
        frame.render_widget(Line::styled(empty_words(app), theme.quiet()), body);
        return;
    }
    let layout = Columns::of(app, body.width);
    let drawn = rows.iter().map(|row| layout.row(row, theme));
    let table = Table::new(drawn, layout.widths.clone())
        .header(Row::new(layout.heads.clone()).style(theme.strong()))
        .row_highlight_style(theme.chosen())
        .column_spacing(1);
    let selected = app.selected.min(rows.len() - 1);
    let mut chosen = TableState::default().with_selected(Some(selected));
    frame.render_stateful_widget(table, body, &mut chosen);
}

/// What is compared, and how the table is filtered and sorted.
fn heading_words(app: &App) -> String {
    let state = app.shown();
    let span = match app.comparison() {
        Some(comparison) => {
            let (before, after) = (&comparison.before.value, &comparison.after.value);
            let operations = comparison
                .operation()
                .map(|(name, count)| match name {
                    PER_SECOND => format!(", {count} s"),
                    name => format!(", {} x {name}", figures::count(count)),
                })
                .unwrap_or_default();
            let change = after.live_bytes as f64 - before.live_bytes as f64;
            format!(
                "snapshot {} to {}: heap {}{operations}",
                before.index,
                after.index,
                figures::bytes_change(change)
            )
        }
        None if state.memory.sites.is_empty() => "sites of the newest snapshot".to_owned(),
        None => format!("{} sites", state.memory.sites.len()),
    };
    let filter = if app.filter.is_empty() || app.overlay == Overlay::Filter {
        String::new()
    } else {
        format!("  filter `{}`", app.filter)
    };
    format!("{span}  by {}{filter}", app.order().key())
}

fn empty_words(app: &App) -> &'static str {
    if !app.filter.is_empty() {
        "no site has this text (esc clears the filter)"
    } else if app.shown().snapshots.is_empty() {
        "no snapshot yet; sites appear with the first one"
    } else {
        "the snapshot names no site"
    }
}

/// The columns, as the mode and the width have them.
struct Columns {
    heads: Vec<Text<'static>>,
    widths: Vec<Constraint>,
    compared: bool,
    wide: bool,
    place: usize,
    operations: Option<(String, u64)>,
}

impl Columns {
    fn of(app: &App, width: u16) -> Self {
        let comparison = app.comparison();
        let wide = width >= WIDE;
        let mut columns: Vec<(&str, u16)> = vec![("verdict", 12), ("kind", 10)];
        if comparison.is_some() {
            columns.extend([("before", 9), ("after", 9), ("change", 10)]);
            if wide {
                columns.push(("per operation", 16));
            }
        } else {
            columns.extend([("live", 9), ("growth/op", GROWTH)]);
            if wide {
                columns.extend([("operation", 22), ("objects/op", 16), ("since start", 12)]);
            }
        }
        let taken: u16 = columns.iter().map(|(_, width)| width + 1).sum();
        let mut heads: Vec<Text<'static>> = columns
            .iter()
            .map(|(name, _)| match *name {
                "verdict" | "kind" | "operation" => Text::from(*name),
                name => Text::from(name).right_aligned(),
            })
            .collect();
        heads.push(Text::from("site"));
        let mut widths: Vec<Constraint> =
            columns.iter().map(|(_, width)| Constraint::Length(*width)).collect();
        widths.push(Constraint::Fill(1));
        Self {
            heads,
            widths,
            wide,
            compared: comparison.is_some(),
            place: usize::from(width.saturating_sub(taken)),
            operations: comparison
                .as_ref()
                .and_then(super::super::comparison::Comparison::operation)
                .map(|(name, count)| (name.to_owned(), count)),
        }
    }

    fn row(&self, row: &SiteRow<'_>, theme: Theme) -> Row<'static> {
        let style = row.verdict().map_or_else(Style::new, |verdict| theme.verdict(verdict));
        let word = row.verdict().map_or("", |verdict| verdict.key());
        let mut cells = vec![Cell::from(word).style(style), Cell::from(row.kind.key())];
        let right = |text: String| Cell::from(Text::from(text).right_aligned());
        let live = row.live_bytes.map_or_else(|| "-".to_owned(), figures::bytes);
        if self.compared {
            cells.push(right(row.before_bytes.map_or_else(|| "-".to_owned(), figures::bytes)));
            cells.push(right(live));
            cells.push(right(figures::bytes_change(row.growth_bytes)));
            if self.wide {
                let each = self.operations.as_ref().map_or_else(String::new, |(_, count)| {
                    format!("{} B", figures::number(row.growth_bytes / *count as f64))
                });
                cells.push(right(each));
            }
        } else {
            cells.push(right(live));
            cells.push(right(growth(row)));
            if self.wide {
                let judged = row.judged;
                cells.push(Cell::from(cut(
                    judged.map_or("", |site| &site.growth_per_op.operation),
                    22,
                )));
                cells.push(right(
                    judged
                        .and_then(|site| site.objects_per_op.as_ref())
                        .map_or_else(String::new, figures::estimate),
                ));
                cells.push(right(figures::bytes_change(row.growth_bytes)));
            }
        }
        cells.push(Cell::from(fit_place(&row.place, self.place)));
        Row::new(cells)
    }
}

/// Growth per operation with its interval; before the verdict, growth since the first snapshot.
fn growth(row: &SiteRow<'_>) -> String {
    match row.judged {
        Some(site) => {
            let estimate = &site.growth_per_op;
            let exact = figures::estimate_bytes(estimate);
            if exact.chars().count() <= usize::from(GROWTH) {
                return exact;
            }
            let half = (estimate.high - estimate.low) / 2.0;
            format!("{} ± {}", figures::bytes(estimate.value), figures::bytes(half))
        }
        None => format!("{} so far", figures::bytes_change(row.growth_bytes)),
    }
}
