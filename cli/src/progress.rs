//! Progress without a screen: one line that is written over on a terminal, a line every ten
//! seconds and at each phase's end elsewhere. In: the state. Out: text for standard error. Pure
//! but for the writing.

use crate::output::Output;
use ebbtide_record::{Body, Event, State, Verdict};
use ebbtide_reports::{figures, finding};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is written when nobody sees it move.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often the line on a terminal is written over.
const REFRESH_EVERY: Duration = Duration::from_millis(100);

/// Progress as lines.
pub(crate) struct Progress {
    output: Output,
    terminal: bool,
    said: Option<Instant>,
    open: bool,
}

impl Progress {
    /// Nothing is said yet.
    pub(crate) fn new(output: Output) -> Self {
        Self { output, terminal: io::stderr().is_terminal(), said: None, open: false }
    }

    /// Something happened, after which the state is `state`.
    pub(crate) fn see(&mut self, event: &Event, state: &State) {
        if self.output.is_quiet() {
            return;
        }
        if let Body::Warning(warning) = &event.body {
            self.close();
            self.output.say(&format!("warning: {} ({})", warning.message, warning.advice));
        }
        let every = if self.terminal { REFRESH_EVERY } else { LINE_EVERY };
        if self.said.is_some_and(|at| at.elapsed() < every) || state.ended.is_some() {
            return;
        }
        self.said = Some(Instant::now());
        let line = line_of(state);
        if self.terminal {
            // Without a terminal there is nobody to tell.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            let _ = io::stderr().flush();
            self.open = true;
        } else {
            self.output.say(&line);
        }
    }

    /// Ends the line that is written over.
    pub(crate) fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Where the run is, in one line.
pub(crate) fn line_of(state: &State) -> String {
    let mut parts = vec![figures::duration(state.now_ms as f64), crate::tui::phase_words(state)];
    if let Some(last) = state.intervals.last().map(|at| &at.value) {
        let rate = last.requests as f64 * 1_000.0 / last.duration_ms.max(f64::MIN_POSITIVE);
        parts.push(format!("{} req/s", figures::count(rate.round() as u64)));
        parts.push(format!("p99 {}", figures::millis(last.latency.p99)));
    }
    if state.totals.failed > 0 {
        parts.push(format!("{} failed", figures::count(state.totals.failed)));
    }
    let planned = state.started.as_ref().and_then(|started| started.duration_s);
    if let Some(left) = planned.map(|planned| planned * 1e3 - state.now_ms as f64)
        && left > 0.0
    {
        parts.push(format!("{} left", figures::duration(left)));
    }
    if let Some(taken) = state.snapshots.last().map(|at| &at.value) {
        parts.push(format!("live heap {}", figures::bytes(taken.live_bytes as f64)));
    }
    if let Some(site) = state.memory.sites.first().filter(|site| site.verdict <= Verdict::Growing) {
        let place = finding::place(&site.function, &site.file, site.line);
        parts.push(format!("{}: {place}", site.verdict));
    }
    parts.join("  ")
}
