//! Following a run while it goes on: on a screen where there is one, as lines elsewhere. In: the
//! events, and the reins of the run. Out: nothing but what is seen; the run's result comes from
//! the run itself.

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::tui::{App, Purpose, Screen, ScreenEnd, Theme};
use ebbtide_record::{Event, State};
use ebbtide_rounds::Control;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Events that may wait for a slow terminal: several seconds of a run. The run waits after that.
const WAITING_MAX: usize = 1_024;

/// How a run is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow {
    /// Where things are said.
    pub(crate) output: Output,
    /// On a screen.
    pub(crate) screen: bool,
    /// What the screen is for.
    pub(crate) purpose: Purpose,
}

/// A channel for the events of a run.
pub(crate) fn channel() -> (Sender<Event>, Receiver<Event>) {
    mpsc::channel(WAITING_MAX)
}

impl Follow {
    /// Follows until nothing more happens, or until the screen is left, which stops what is
    /// followed. A screen that owns no run stays until it is left.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be used. The run goes on unseen then.
    pub(crate) async fn until_end(
        self,
        mut events: Receiver<Event>,
        control: Control,
    ) -> Result<(), Failure> {
        let mut state = State::default();
        if self.screen {
            (state, events) = self.on_screen(events, control).await?;
            if !self.purpose.owns_run {
                return Ok(());
            }
        }
        let mut progress = Progress::new(self.output);
        while let Some(event) = events.recv().await {
            state.apply(&event);
            progress.see(&event, &state);
        }
        progress.close();
        Ok(())
    }

    async fn on_screen(
        self,
        mut events: Receiver<Event>,
        control: Control,
    ) -> Result<(State, Receiver<Event>), Failure> {
        let theme = Theme { color: self.output.color(true) };
        let purpose = self.purpose;
        let reins = control.clone();
        let shown = tokio::task::spawn_blocking(move || {
            let mut app = App::new(purpose);
            let screen = Screen { theme, stays: !purpose.owns_run, control: reins };
            let end = screen.show(&mut app, &mut events);
            end.map(|end| (end, app.into_state(), events))
        });
        let (end, state, events) = match shown.await {
            Ok(shown) => shown?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if end != ScreenEnd::Ended && !control.is_stopped() {
            if purpose.owns_run {
                self.output.say("stopping: what runs is drained; Ctrl-C leaves at once");
            }
            control.stop();
        }
        Ok((state, events))
    }
}
