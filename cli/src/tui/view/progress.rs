//! Where the run is: the round and its phase, and how much of the plan is done. In a run without
//! rounds, the load of the last second.
//! In: the state. Out: one line, which progress without a screen uses as well.

use super::super::app::App;
use super::super::theme::Theme;
use ebbtide_record::State;
use ebbtide_record::event::RoundKind;
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Characters of the bar.
const BAR: usize = 16;

/// Draws the line.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let state = app.shown();
    let mut spans = Vec::new();
    if let Some(share) = share_done(state) {
        let full = (share * BAR as f64).round() as usize;
        spans.push(Span::raw(format!("{}{}  ", "█".repeat(full), "░".repeat(BAR - full))));
    }
    spans.push(Span::styled(words(state), theme.strong()));
    if let Some(last) = state.intervals.last().filter(|_| state.ended.is_none()) {
        let seconds = (last.value.duration_ms / 1_000.0).max(f64::MIN_POSITIVE);
        let rate = (last.value.requests as f64 / seconds).round() as u64;
        spans.push(Span::raw(format!("  {} req/s", figures::count(rate))));
        if state.totals.failed > 0 {
            let failed = figures::count(state.totals.failed);
            spans.push(Span::styled(format!("  {failed} failed"), theme.bad()));
        }
    }
    frame.render_widget(Line::from(spans), area);
}

/// The phase in words.
pub(crate) fn words(state: &State) -> String {
    if let Some(ended) = &state.ended {
        let partial = if ended.partial { ", cut short" } else { "" };
        let reason =
            if ended.reason.is_empty() { String::new() } else { format!(": {}", ended.reason) };
        return format!("ended with exit code {}{partial}{reason}", ended.exit_code);
    }
    let Some(phase) = &state.phase else {
        let seen = !state.points.is_empty() || !state.snapshots.is_empty();
        return if seen { "watching" } else { "starting" }.to_owned();
    };
    let phase = phase.value;
    let Some((warmup, rounds)) = planned(state) else { return phase.phase.key().to_owned() };
    match phase.kind {
        RoundKind::Warmup => {
            format!("warm-up {} of {warmup}: {}", phase.round + 1, phase.phase.key())
        }
        RoundKind::Rest => format!("at rest, to see what time does: {}", phase.phase.key()),
        kind => format!(
            "round {} of {} ({} input): {}",
            (phase.round + 1).saturating_sub(warmup),
            rounds.max((phase.round + 1).saturating_sub(warmup)),
            if kind == RoundKind::Replay { "replayed" } else { "new" },
            phase.phase.key()
        ),
    }
}

/// Warm-up rounds and measured rounds, where rounds are planned.
fn planned(state: &State) -> Option<(u32, u32)> {
    let started = state.started.as_ref()?;
    (started.rounds > 0).then_some((started.warmup_rounds, started.rounds))
}

/// How much of the plan is done, from 0 to 1; `None` where that is not known.
fn share_done(state: &State) -> Option<f64> {
    if state.ended.is_some() {
        return Some(1.0);
    }
    let share = match planned(state) {
        Some((warmup, rounds)) => {
            let taken = state.snapshots.iter().filter(|taken| taken.value.round.is_some()).count();
            taken as f64 / f64::from(warmup + rounds)
        }
        None => {
            let length_ms = state.started.as_ref()?.duration_s? * 1_000.0;
            state.totals.duration_ms / length_ms.max(f64::MIN_POSITIVE)
        }
    };
    Some(share.clamp(0.0, 1.0))
}
