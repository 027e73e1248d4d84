//! The list of snapshots, from which the baseline or the compared one is chosen.
//! In: the app. Out: a frame over the page, with what is chosen already marked `b` and `x`.
//! What the choice means is left to `comparison`.

use super::super::app::{App, Overlay};
use super::super::theme::Theme;
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Text;
use ratatui::widgets::{Block, Clear, Row, Table, TableState};

/// Columns of the list, its frame included.
const WIDTH: u16 = 58;
/// Lines of its frame and heading.
const FRAME: u16 = 3;

/// Draws the list over the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let snapshots = &app.shown().snapshots;
    let height = (snapshots.len() as u16).saturating_add(FRAME).min(area.height);
    let place = Rect { width: WIDTH.min(area.width), height, ..area };
    let right = |text: String| Text::from(text).right_aligned();
    let rows = snapshots.iter().enumerate().map(|(place, taken)| {
        let sign = match (app.baseline == Some(place), app.compared == Some(place)) {
            (true, true) => "b x",
            (true, false) => "b",
            (false, true) => "  x",
            (false, false) => "",
        };
        let round = match taken.value.round {
            Some(round) => format!("round {} {}", round, taken.value.kind.key()),
            None if place == 0 => "start".to_owned(),
            None if app.shown().phases.is_empty() => String::new(),
            None => "by hand".to_owned(),
        };
        Row::new(vec![
            Text::from(sign),
            right(taken.value.index.to_string()),
            right(figures::duration(taken.t_ms as f64)),
            Text::from(round),
            right(figures::bytes(taken.value.live_bytes as f64)),
        ])
    });
    let widths = [
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Length(12),
        Constraint::Length(18),
        Constraint::Length(12),
    ];
    let title = if app.overlay == Overlay::Baseline {
        " baseline: compare against "
    } else {
        " compare with the baseline "
    };
    let heads = Row::new(vec![
        Text::from(""),
        right("#".into()),
        right("at".into()),
        Text::from("round"),
        right("live heap".into()),
    ]);
    let table = Table::new(rows, widths)
        .header(heads.style(theme.strong()))
        .row_highlight_style(theme.chosen())
        .block(Block::bordered().title(title));
    frame.render_widget(Clear, place);
    let mut chosen = TableState::default().with_selected(Some(app.picked));
    frame.render_stateful_widget(table, place, &mut chosen);
}
