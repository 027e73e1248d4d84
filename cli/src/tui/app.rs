//! What is shown: the state of the run, and what the person at the screen chose to see of it.
//! In: events and keys. Out: itself, for the views; and [`Action`]s that concern the run. Pure:
//! no terminal, no clock, no view.

use super::comparison::Comparison;
use super::key::Command;
use super::row::{Sort, rows_of};
use ebbtide_record::event::Event;
use ebbtide_record::{Body, State};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Characters of a filter: no name of a function that one would type is longer.
const FILTER_MAX: usize = 60;
/// Lines moved by a page key.
const PAGE: usize = 10;

/// A page of the screen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tab {
    /// Rate, users, messages.
    Load,
    /// Percentiles.
    Latency,
    /// The process and its heap over time.
    Memory,
    /// Sites.
    Leaks,
    /// What failed.
    Errors,
}

impl Tab {
    /// All, in the order in which they stand.
    pub(crate) const ALL: [Self; 5] =
        [Self::Load, Self::Latency, Self::Memory, Self::Leaks, Self::Errors];

    /// Its title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Load => "Load",
            Self::Latency => "Latency",
            Self::Memory => "Memory",
            Self::Leaks => "Leaks",
            Self::Errors => "Errors",
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|tab| *tab == self).unwrap_or_default()
    }

    fn step(self, by: usize) -> Self {
        Self::ALL[(self.place() + by) % Self::ALL.len()]
    }
}

/// What the screen is for: which keys can do something, and what leaving means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Purpose {
    /// A snapshot can be taken by a key.
    pub(crate) snapshots: bool,
    /// Leaving ends a run, so it is asked twice.
    pub(crate) owns_run: bool,
}

impl Purpose {
    /// Whether the load can be held and changed by keys: a run of ours without rounds.
    pub(crate) fn holds_load(self) -> bool {
        self.owns_run && !self.snapshots
    }
}

/// What lies over the page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The keys.
    Help,
    /// One site, by its place in the table.
    Site,
    /// The same site explained: evidence, cause, cure.
    Explain,
    /// The list of snapshots, to choose the baseline from.
    Baseline,
    /// The list of snapshots, to choose the compared one from.
    Compared,
    /// The line in which the filter is typed.
    Filter,
}

/// What a key asks of the run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Take a snapshot now.
    Snapshot,
    /// Hold the load, or let it go on.
    Hold,
    /// More load, or less.
    Pace {
        /// More.
        faster: bool,
    },
    /// Leave the screen (and, where it owns a run, stop that run).
    Quit,
    /// As Ctrl-C in a shell.
    Interrupt,
}

/// How much of the time axis is shown.
pub(crate) const SPANS_S: [Option<u64>; 6] =
    [None, Some(1_800), Some(600), Some(300), Some(120), Some(30)];

/// What is shown.
#[derive(Debug)]
pub(crate) struct App {
    /// What has happened.
    state: State,
    /// What had happened when the view was frozen.
    frozen: Option<Box<State>>,
    /// What the screen is for.
    pub(crate) purpose: Purpose,
    /// The page.
    pub(crate) tab: Tab,
    /// What lies over it.
    pub(crate) overlay: Overlay,
    /// The line of the table that is chosen.
    pub(crate) selected: usize,
    /// The line of the list of snapshots that is chosen.
    pub(crate) picked: usize,
    /// The first line shown of a text that is longer than its place.
    pub(crate) scrolled: usize,
    /// The snapshot compared against, by its place in the state.
    pub(crate) baseline: Option<usize>,
    /// The snapshot compared, by its place in the state.
    pub(crate) compared: Option<usize>,
    /// Only sites with this text are listed.
    pub(crate) filter: String,
    /// The order of the table.
    pub(crate) sort: Sort,
    /// Which of [`SPANS_S`] is shown.
    pub(crate) span: usize,
    /// A word about what a key did.
    pub(crate) notice: String,
    leaving: bool,
}

impl App {
    /// Nothing has happened yet.
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self {
            state: State::default(),
            frozen: None,
            purpose,
            tab: if purpose.holds_load() { Tab::Load } else { Tab::Memory },
            overlay: Overlay::None,
            selected: 0,
            picked: 0,
            scrolled: 0,
            baseline: None,
            compared: None,
            filter: String::new(),
            sort: Sort::default(),
            span: 0,
            notice: String::new(),
            leaving: false,
        }
    }

    /// What is to be drawn: the newest state, or the one that was frozen.
    pub(crate) fn shown(&self) -> &State {
        self.frozen.as_deref().unwrap_or(&self.state)
    }

    /// Ends the screen, with all that happened.
    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// The view stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Something happened.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.state.apply(event);
        match &event.body {
            Body::Snapshot(taken) => {
                self.notice = match taken.round {
                    None => format!("snapshot {} taken", taken.index),
                    Some(_) => String::new(),
                };
            }
            Body::Missed(missed) => {
                self.notice = format!("no {}: {}", missed.what, missed.reason);
            }
            _ => {}
        }
    }

    /// The comparison that was asked for, if any.
    pub(crate) fn comparison(&self) -> Option<Comparison<'_>> {
        Comparison::between(self.shown(), self.baseline, self.compared)
    }

    /// The order of the table. Between two snapshots nothing is judged, so there growth counts.
    pub(crate) fn order(&self) -> Sort {
        match self.sort {
            Sort::Verdict if self.comparison().is_some() => Sort::Growth,
            sort => sort,
        }
    }

    /// A key was pressed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Action::Interrupt);
        }
        let was_leaving = std::mem::take(&mut self.leaving);
        if self.overlay == Overlay::Filter {
            self.type_filter(key.code);
            return None;
        }
        let command = Command::of(key.code)?;
        self.notice.clear();
        match command {
            Command::Quit if self.overlay != Overlay::None => self.overlay = Overlay::None,
            Command::Quit => return self.quit(was_leaving),
            Command::Snapshot if self.purpose.snapshots => {
                "a snapshot is being taken".clone_into(&mut self.notice);
                return Some(Action::Snapshot);
            }
            command if command.is_of_load() => return self.change_load(command),
            command => self.obey(command),
        }
        None
    }

    /// A key that changes the load was pressed.
    fn change_load(&mut self, command: Command) -> Option<Action> {
        if !self.purpose.holds_load() {
            let why = match self.purpose.owns_run {
                true => "rounds count their operations: their load cannot be held or changed",
                false => "the load is not made from here",
            };
            why.clone_into(&mut self.notice);
            return None;
        }
        Some(match command {
            Command::Faster => Action::Pace { faster: true },
            Command::Slower => Action::Pace { faster: false },
            _ => Action::Hold,
        })
    }

    fn quit(&mut self, was_leaving: bool) -> Option<Action> {
        if !self.purpose.owns_run || was_leaving || self.state.ended.is_some() {
            return Some(Action::Quit);
        }
        self.leaving = true;
        "q again stops the run; any other key goes on".clone_into(&mut self.notice);
        None
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Help => self.toggle(Overlay::Help),
            Command::Back => self.back(),
            Command::Open => self.open(),
            Command::Explain => self.explain(),
            Command::Up => self.move_by(-1),
            Command::Down => self.move_by(1),
            Command::PageUp => self.move_by(-(PAGE as isize)),
            Command::PageDown => self.move_by(PAGE as isize),
            Command::First => self.move_by(isize::MIN / 2),
            Command::Last => self.move_by(isize::MAX / 2),
            Command::NextTab => self.show(self.tab.step(1)),
            Command::PreviousTab => self.show(self.tab.step(Tab::ALL.len() - 1)),
            Command::ShowTab(place) => self.show(Tab::ALL[place]),
            Command::Freeze => {
                self.frozen = match self.frozen.take() {
                    Some(_) => None,
                    None => Some(Box::new(self.state.clone())),
                };
            }
            Command::Closer => self.span = (self.span + 1).min(SPANS_S.len() - 1),
            Command::Wider => self.span = self.span.saturating_sub(1),
            Command::All => self.span = 0,
            Command::Baseline => self.pick(Overlay::Baseline),
            Command::Compare => self.pick(Overlay::Compared),
            Command::Filter => {
                self.show(Tab::Leaks);
                self.overlay = Overlay::Filter;
            }
            Command::Sort => {
                self.show(Tab::Leaks);
                self.sort = self.sort.next();
                self.selected = 0;
            }
            Command::Snapshot | Command::Quit => {}
            Command::Hold | Command::Faster | Command::Slower => {}
        }
    }

    fn show(&mut self, tab: Tab) {
        self.tab = tab;
        self.overlay = Overlay::None;
        self.scrolled = 0;
    }

    fn toggle(&mut self, overlay: Overlay) {
        self.scrolled = 0;
        self.overlay = if self.overlay == overlay { Overlay::None } else { overlay };
    }

    /// Opens the list of snapshots at the one that is chosen, or at the newest.
    fn pick(&mut self, overlay: Overlay) {
        let count = self.shown().snapshots.len();
        if count == 0 {
            "there is no snapshot yet".clone_into(&mut self.notice);
            return;
        }
        let chosen = if overlay == Overlay::Baseline { self.baseline } else { self.compared };
        self.picked = chosen.unwrap_or(count - 1).min(count - 1);
        self.toggle(overlay);
    }

    fn open(&mut self) {
        match self.overlay {
            Overlay::Baseline => self.baseline = Some(self.picked),
            Overlay::Compared => self.compared = Some(self.picked),
            Overlay::None if self.tab == Tab::Leaks && self.selected < rows_of(self).len() => {
                self.scrolled = 0;
                self.overlay = Overlay::Site;
                return;
            }
            _ => {}
        }
        if matches!(self.overlay, Overlay::Baseline | Overlay::Compared) {
            self.show(Tab::Leaks);
            self.selected = 0;
        }
        self.overlay = Overlay::None;
    }

    /// Explains the chosen site, from the table or from the site's own page.
    fn explain(&mut self) {
        let judged = rows_of(self).get(self.selected).is_some_and(|row| row.judged.is_some());
        match self.overlay {
            Overlay::Explain => self.overlay = Overlay::None,
            Overlay::None | Overlay::Site if self.tab == Tab::Leaks && judged => {
                self.toggle(Overlay::Explain);
            }
            Overlay::None | Overlay::Site if self.tab == Tab::Leaks => {
                "only a site that was judged can be explained".clone_into(&mut self.notice);
            }
            _ => {}
        }
    }

    /// Takes back the last choice: the overlay, then the filter, then the comparison.
    fn back(&mut self) {
        if self.overlay != Overlay::None {
            self.overlay = Overlay::None;
        } else if !self.filter.is_empty() {
            self.filter.clear();
        } else if self.compared.take().is_none() && self.baseline.take().is_none() {
            self.frozen = None;
        }
    }

    fn move_by(&mut self, lines: isize) {
        let moved = |place: usize, end: usize| {
            place.saturating_add_signed(lines).min(end.saturating_sub(1))
        };
        match self.overlay {
            Overlay::Baseline | Overlay::Compared => {
                self.picked = moved(self.picked, self.shown().snapshots.len());
            }
            Overlay::None if self.tab == Tab::Leaks => {
                self.selected = moved(self.selected, rows_of(self).len());
            }
            // The view knows how long its text is, and does not scroll past its end.
            _ => self.scrolled = moved(self.scrolled, usize::from(u16::MAX)),
        }
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.overlay = Overlay::None,
            KeyCode::Esc => {
                self.filter.clear();
                self.overlay = Overlay::None;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if self.filter.chars().count() < FILTER_MAX => {
                self.filter.push(letter);
            }
            _ => {}
        }
        self.selected = 0;
    }
}
