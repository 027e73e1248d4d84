//! One site, opened: its verdict with the reasons, its growth with the interval, its live bytes
//! at each snapshot, and its stack.
//! In: the chosen row. Out: text that scrolls. Judging is left to `profiler`.

use super::super::app::App;
use super::super::row::{SiteRow, rows_of};
use super::super::theme::Theme;
use ebbtide_record::State;
use ebbtide_record::Verdict;
use ebbtide_record::verdict::{Estimate, SiteVerdict};
use ebbtide_reports::explain::{Case, Likely};
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::{Margin, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

/// Draws the site over the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let rows = rows_of(app);
    let Some(row) = rows.get(app.selected.min(rows.len().saturating_sub(1))) else { return };
    let lines = described(app.shown(), row, theme);
    frame.render_widget(Clear, area);
    frame.render_widget(Block::bordered().title(" site "), area);
    let inner = area.inner(Margin { horizontal: 2, vertical: 1 });
    let end = lines.len().saturating_sub(usize::from(inner.height));
    let scrolled = app.scrolled.min(end) as u16;
    let text = Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((scrolled, 0));
    frame.render_widget(text, inner);
}

fn described<'a>(state: &State, row: &SiteRow<'a>, theme: Theme) -> Vec<Line<'a>> {
    let mut lines = vec![Line::styled(row.place.clone(), theme.strong())];
    let levels = match row.judged {
        Some(site) => {
            judged(&mut lines, state, site, theme);
            site.series.clone()
        }
        None => {
            let live = row.live_bytes.map_or_else(|| "unknown".to_owned(), figures::bytes);
            lines.push(Line::from(format!("{}, {live} live, not judged yet", row.kind.words())));
            levels_of(state, row.id)
        }
    };
    if !levels.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("live bytes at each snapshot", theme.strong()));
        lines.push(Line::from(format!("  {}", ebbtide_reports::text::bars(&levels))));
        let first = levels.first().copied().unwrap_or_default();
        let last = levels.last().copied().unwrap_or_default();
        lines.push(Line::from(format!(
            "  {} at first, {} at last",
            figures::bytes(first),
            figures::bytes(last)
        )));
    }
    if let Some(site) = row.judged.filter(|site| !site.stack.is_empty()) {
        lines.push(Line::default());
        lines.push(Line::styled("stack, the allocating end first", theme.strong()));
        for frame in &site.stack {
            let place = ebbtide_reports::finding::place(&frame.function, &frame.file, frame.line);
            let (sign, style) =
                if frame.own { ("> ", theme.strong()) } else { ("  ", theme.quiet()) };
            lines.push(Line::styled(format!("{sign}{place}"), style));
        }
    }
    lines
}

fn judged<'a>(lines: &mut Vec<Line<'a>>, state: &State, site: &'a SiteVerdict, theme: Theme) {
    let from = match site.kind_from.as_str() {
        "" => String::new(),
        from => format!(" (told by the {from})"),
    };
    lines.push(Line::from(vec![
        Span::styled(site.verdict.key(), theme.verdict(site.verdict)),
        Span::raw(format!(
            "  {}{from}, {} live{}",
            site.kind.words(),
            figures::bytes(site.live_bytes as f64),
            site.live_objects
                .map_or_else(String::new, |n| format!(" in {} objects", figures::count(n)))
        )),
    ]));
    lines.push(Line::from(format!(
        "growth {}{}{}",
        figures::estimate_bytes(&site.growth_per_op),
        per(&site.growth_per_op),
        site.objects_per_op
            .as_ref()
            .map_or_else(String::new, |each| format!(", {} objects", figures::estimate(each)))
    )));
    if let Some(replay) = &site.growth_on_replay {
        lines.push(Line::from(format!(
            "on replayed input {}{}",
            figures::estimate_bytes(replay),
            per(replay)
        )));
    }
    for reason in &site.reasons {
        lines.push(Line::from(format!("- {reason}")));
    }
    if matches!(site.verdict, Verdict::Leaking | Verdict::Growing) {
        let likely = Likely::of(&Case::of(state, site, None));
        lines.push(Line::from(format!("likely {}: `e` explains", likely.cause.words())));
    }
}

fn per(estimate: &Estimate) -> String {
    match estimate.operation.as_str() {
        "" => String::new(),
        operation => format!(" per {operation}"),
    }
}

/// Live bytes of a site at each snapshot that has it.
fn levels_of(state: &State, id: &str) -> Vec<f64> {
    state
        .snapshots
        .iter()
        .filter_map(|taken| taken.value.sites.iter().find(|site| site.id == id))
        .map(|site| site.live_bytes)
        .collect()
}
