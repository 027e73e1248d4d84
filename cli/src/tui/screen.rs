//! The terminal: taken, drawn to, and given back as it was, however the program ends. In: events
//! and keys. Out: actions, and the app as it was left. Draws at most ten times a second and only
//! when something changed, so that a slow line can follow.

use super::app::{Action, App};
use super::theme::Theme;
use super::view;
use ebbtide_record::event::Event;
use ebbtide_rounds::Control;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

/// Time between two pictures at least.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How long to wait for a key before events are looked at again.
const KEY_WAIT: Duration = Duration::from_millis(40);
/// Events taken before keys are looked at again, so that a long log does not block them.
const EVENTS_AT_ONCE: usize = 4_096;

/// Some thread panicked: its message stands on the terminal, which must not be drawn over.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Why the screen was left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ScreenEnd {
    /// By a key.
    Left,
    /// By Ctrl-C, or because a signal asked for it.
    Interrupted,
    /// Nothing more happens.
    Ended,
}

/// A screen in use.
pub(crate) struct Screen {
    /// How it looks.
    pub(crate) theme: Theme,
    /// It stays when nothing more happens, until a key is pressed.
    pub(crate) stays: bool,
    /// The reins of what is shown.
    pub(crate) control: Control,
}

impl Screen {
    /// Shows the app until it is left, or until a stop is asked for. Blocks its thread.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be read or written.
    pub(crate) fn show(
        &self,
        app: &mut App,
        events: &mut Receiver<Event>,
    ) -> io::Result<ScreenEnd> {
        let mut terminal = ratatui::try_init()?;
        note_panics();
        let end = self.turn(&mut terminal, app, events);
        // A terminal that is gone has nothing to be given back.
        let _ = ratatui::try_restore();
        end
    }

    fn turn(
        &self,
        terminal: &mut DefaultTerminal,
        app: &mut App,
        events: &mut Receiver<Event>,
    ) -> io::Result<ScreenEnd> {
        let mut changed = true;
        let mut drawn: Option<Instant> = None;
        loop {
            if self.control.is_stopped() || PANICKED.load(Ordering::Relaxed) {
                return Ok(ScreenEnd::Interrupted);
            }
            let (came, closed) = take(app, events);
            changed |= came > 0;
            if closed && !self.stays {
                return Ok(ScreenEnd::Ended);
            }
            if changed && drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
                terminal.draw(|frame| view::draw(frame, app, self.theme))?;
                drawn = Some(Instant::now());
                changed = false;
            }
            if !event::poll(KEY_WAIT)? {
                continue;
            }
            changed = true;
            let Input::Key(key) = event::read()? else { continue };
            match app.key(key) {
                Some(Action::Interrupt) => return Ok(ScreenEnd::Interrupted),
                Some(Action::Quit) => return Ok(ScreenEnd::Left),
                Some(Action::Snapshot) => self.control.snapshot_now(),
                Some(Action::Hold) => self.control.toggle_hold(),
                Some(Action::Pace { faster }) => self.control.change_pace(faster),
                None => {}
            }
        }
    }
}

/// Takes what has happened; says how much, and whether that was all.
fn take(app: &mut App, events: &mut Receiver<Event>) -> (usize, bool) {
    for count in 0..EVENTS_AT_ONCE {
        match events.try_recv() {
            Ok(event) => app.apply(&event),
            Err(TryRecvError::Empty) => return (count, false),
            Err(TryRecvError::Disconnected) => return (count, true),
        }
    }
    (EVENTS_AT_ONCE, false)
}

/// After ratatui's own hook, which restores the terminal before the message is printed.
fn note_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        before(panic);
    }));
}
