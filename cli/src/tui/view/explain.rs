//! One site explained, over the page: the same text that `ebb leaks --explain` prints.
//! In: the chosen row, once it is judged. Out: text that scrolls.
//! What is said is left to `reports`.

use super::super::app::App;
use super::super::row::rows_of;
use super::super::theme::Theme;
use ebbtide_reports::explain::Case;
use ebbtide_reports::text::{self, Style};
use ratatui::Frame;
use ratatui::layout::{Margin, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

/// Draws the explanation over the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let rows = rows_of(app);
    let row = rows.get(app.selected.min(rows.len().saturating_sub(1)));
    let Some(site) = row.and_then(|row| row.judged) else { return };
    let inner = area.inner(Margin { horizontal: 1, vertical: 1 });
    let style = Style { width: usize::from(inner.width), ..Style::default() };
    let text = text::explain(&Case::of(app.shown(), site, None), style);
    let lines: Vec<Line<'_>> =
        text.trim_matches('\n').lines().map(|line| painted(line, theme)).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Block::bordered().title(" why, and what to do "), area);
    let end = lines.len().saturating_sub(usize::from(inner.height));
    let scrolled = app.scrolled.min(end) as u16;
    frame.render_widget(Paragraph::new(lines).scroll((scrolled, 0)), inner);
}

/// Headings stand out: they alone begin at the second column, with a letter or a word in capitals.
fn painted(line: &str, theme: Theme) -> Line<'_> {
    let heading = ["evidence", "live bytes at", "stack,", "likely cause:", "cure", "next"];
    let begins = line.strip_prefix("  ").unwrap_or(line);
    if heading.iter().any(|word| begins.starts_with(word)) {
        Line::styled(line, theme.strong())
    } else {
        Line::from(line)
    }
}
