//! The keys, as a table over the page.
//! In: what the screen is for. Out: a frame over the page.
//! Which keys there are is left to `key`.

use super::super::app::App;
use super::super::key;
use super::super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

/// Columns of the table, its frame included.
const WIDTH: u16 = 60;

/// Draws the keys over the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let lines: Vec<Line<'_>> = key::described(app.purpose)
        .into_iter()
        .map(|(keys, does)| {
            Line::from(vec![Span::styled(format!(" {keys:<14}"), theme.strong()), does.into()])
        })
        .collect();
    let height = (lines.len() as u16 + 2).min(area.height);
    let end = lines.len().saturating_sub(usize::from(height.saturating_sub(2)));
    let place = Rect { width: WIDTH.min(area.width), height, ..area };
    frame.render_widget(Clear, place);
    let text = Paragraph::new(lines)
        .scroll((app.scrolled.min(end) as u16, 0))
        .block(Block::bordered().title(" keys "));
    frame.render_widget(text, place);
}
