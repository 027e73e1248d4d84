//! The page of errors: failed exchanges by reason, checks that failed, observations that were
//! missed, and every doubt about the measurement with its advice.
//! In: the app. Out: text that scrolls; how much of it is left to the keys.

use super::super::app::App;
use super::super::theme::Theme;
use ebbtide_record::State;
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};
use std::collections::BTreeMap;

/// Observations missed that are listed, the newest.
const MISSED_SHOWN: usize = 20;

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let mut lines = lines_of(app.shown(), theme);
    if lines.is_empty() {
        lines.push(Line::styled("nothing failed so far", theme.quiet()));
    }
    let end = lines.len().saturating_sub(usize::from(area.height));
    let text =
        Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((app.scrolled.min(end) as u16, 0));
    frame.render_widget(text, area);
}

fn lines_of(state: &State, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut section = |title: &str, content: Vec<String>| {
        if content.is_empty() {
            return;
        }
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(title.to_owned(), theme.strong()));
        lines.extend(content.into_iter().map(|line| Line::from(format!("  {line}"))));
    };
    let failed = errors(state);
    let share = |count: u64| figures::percent(count as f64 / state.totals.requests.max(1) as f64);
    section(
        "failed exchanges",
        failed
            .iter()
            .map(|(reason, count)| {
                format!("{:>12}  {:>9}  {reason}", figures::count(*count), share(*count))
            })
            .collect(),
    );
    section(
        "checks that failed",
        state
            .checks
            .iter()
            .filter(|(_, count)| count.fails > 0)
            .map(|(name, count)| {
                let all = count.passes + count.fails;
                format!("{name}: {} of {}", figures::count(count.fails), figures::count(all))
            })
            .collect(),
    );
    section(
        "doubts about the measurement",
        state
            .warnings
            .iter()
            .map(|warning| format!("{}: {}", warning.message, warning.advice))
            .collect(),
    );
    section(
        "not observed",
        state
            .missed
            .iter()
            .rev()
            .take(MISSED_SHOWN)
            .map(|at| {
                let when = figures::duration(at.t_ms as f64);
                format!("{} at {when}: {}", at.value.what, at.value.reason)
            })
            .collect(),
    );
    lines
}

/// By reason: the sums so far, or what the seconds add up to before the first sums.
fn errors(state: &State) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for at in &state.intervals {
        for (reason, count) in &at.value.errors {
            *counts.entry(reason).or_default() += count;
        }
    }
    for (reason, count) in &state.errors {
        let known = counts.entry(reason).or_default();
        *known = (*known).max(*count);
    }
    let mut list: Vec<(String, u64)> =
        counts.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list
}
