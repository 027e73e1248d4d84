//! Ctrl-C and the signals that mean the same. In: signals. Out: the first asks the run to drain
//! and to report what there is; the second leaves now. A started target ends with us: the kernel
//! sees to that.

use crate::output::Output;
use ebbtide_rounds::Control;
use ebbtide_rounds::exit::INTERRUPTED;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a run has to end its target once it was told to leave now.
const LEAVE_WITHIN: Duration = Duration::from_millis(300);

/// Turns signals into wishes for as long as the program runs.
///
/// # Errors
///
/// When the signals cannot be caught.
pub(crate) fn obey(control: Control, output: Output) -> std::io::Result<()> {
    let mut signals = Signals::catch()?;
    tokio::spawn(async move {
        signals.next().await;
        if !control.is_stopped() {
            output.say("stopping: what runs is drained; once more leaves at once");
            control.stop();
            signals.next().await;
        }
        // So that what the target started itself does not stay behind.
        control.abort();
        tokio::time::sleep(LEAVE_WITHIN).await;
        leave();
    });
    Ok(())
}

/// Leaves now, with the terminal as it was.
fn leave() -> ! {
    // Does nothing when no screen is shown.
    if ratatui::crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
        let _ = ratatui::try_restore();
    }
    std::process::exit(INTERRUPTED)
}

/// The signals that ask a program to end.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them but SIGHUP, at which `again` is called: to read files again.
    pub(crate) async fn next_end(&mut self, again: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => again(),
            }
        }
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
