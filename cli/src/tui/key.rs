//! The keys and what they mean, as one table: what is pressed is looked up in it and the help is
//! printed from it, so no key is shown that does nothing. In: a key. Out: what it means.
//! What is then done is left to `app`.

use super::app::{Purpose, Tab};
use ratatui::crossterm::event::KeyCode;

/// What a key means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    /// Leave.
    Quit,
    /// Show the keys.
    Help,
    /// Take back the last choice.
    Back,
    /// Open what is chosen.
    Open,
    /// Explain what is chosen.
    Explain,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// Ten lines up.
    PageUp,
    /// Ten lines down.
    PageDown,
    /// To the first line.
    First,
    /// To the last line.
    Last,
    /// The page to the right.
    NextTab,
    /// The page to the left.
    PreviousTab,
    /// The page at a place, from 0.
    ShowTab(usize),
    /// Stand still, or go on.
    Freeze,
    /// Show less time.
    Closer,
    /// Show more time.
    Wider,
    /// Show all time.
    All,
    /// Choose the baseline.
    Baseline,
    /// Choose the snapshot to compare.
    Compare,
    /// Type a filter.
    Filter,
    /// Another order.
    Sort,
    /// Take a snapshot.
    Snapshot,
    /// Hold the load, or let it go on.
    Hold,
    /// More load.
    Faster,
    /// Less load.
    Slower,
}

/// Keys with one meaning, as they are written in the help, and what they do.
struct Binding {
    keys: &'static [KeyCode],
    command: Command,
    written: &'static str,
    does: &'static str,
}

const fn bind(
    keys: &'static [KeyCode],
    command: Command,
    written: &'static str,
    does: &'static str,
) -> Binding {
    Binding { keys, command, written, does }
}

/// All keys but the digits, which choose a page. Without words, a key is not in the help.
const BINDINGS: [Binding; 25] = [
    bind(
        &[KeyCode::Tab, KeyCode::Char('l'), KeyCode::Right],
        Command::NextTab,
        "tab l right",
        "next page",
    ),
    bind(
        &[KeyCode::BackTab, KeyCode::Char('h'), KeyCode::Left],
        Command::PreviousTab,
        "h left",
        "page before",
    ),
    bind(&[KeyCode::Up, KeyCode::Char('k')], Command::Up, "", ""),
    bind(&[KeyCode::Down, KeyCode::Char('j')], Command::Down, "j k up down", "move"),
    bind(&[KeyCode::PageUp], Command::PageUp, "", ""),
    bind(&[KeyCode::PageDown], Command::PageDown, "pgup pgdn", "move ten lines"),
    bind(&[KeyCode::Home, KeyCode::Char('g')], Command::First, "", ""),
    bind(&[KeyCode::End, KeyCode::Char('G')], Command::Last, "g G", "first, last"),
    bind(&[KeyCode::Enter], Command::Open, "enter", "open the site: stack, series, reasons"),
    bind(&[KeyCode::Char('e')], Command::Explain, "e", "explain the site: evidence, cause, cure"),
    bind(&[KeyCode::Esc], Command::Back, "esc", "close; clear filter; end comparison"),
    bind(&[KeyCode::Char('b')], Command::Baseline, "b", "choose the baseline snapshot"),
    bind(&[KeyCode::Char('x')], Command::Compare, "x", "choose the snapshot to compare with it"),
    bind(&[KeyCode::Char('/')], Command::Filter, "/", "filter sites by text"),
    bind(&[KeyCode::Char('s')], Command::Sort, "s", "sort sites another way"),
    bind(&[KeyCode::Char('d')], Command::Snapshot, "d", "take a snapshot now"),
    bind(&[KeyCode::Char('P')], Command::Hold, "P", "hold the load, and let it go on"),
    bind(&[KeyCode::Char('>')], Command::Faster, ">", "a quarter more load"),
    bind(&[KeyCode::Char('<')], Command::Slower, "<", "a fifth less load"),
    bind(&[KeyCode::Char(' ')], Command::Freeze, "space", "freeze the view, and go on"),
    bind(&[KeyCode::Char('+'), KeyCode::Char('=')], Command::Closer, "+", "less time on the axis"),
    bind(&[KeyCode::Char('-')], Command::Wider, "-", "more time on the axis"),
    bind(&[KeyCode::Char('a')], Command::All, "a", "all time on the axis"),
    bind(&[KeyCode::Char('?')], Command::Help, "?", "these keys"),
    bind(&[KeyCode::Char('q')], Command::Quit, "q", "leave"),
];

impl Command {
    /// What a key means; nothing for most.
    pub(crate) fn of(code: KeyCode) -> Option<Self> {
        if let KeyCode::Char(digit @ '1'..='9') = code {
            let place = digit as usize - '1' as usize;
            return (place < Tab::ALL.len()).then_some(Self::ShowTab(place));
        }
        BINDINGS.iter().find(|binding| binding.keys.contains(&code)).map(|binding| binding.command)
    }
}

impl Command {
    /// Whether it changes the load.
    pub(crate) fn is_of_load(self) -> bool {
        matches!(self, Self::Hold | Self::Faster | Self::Slower)
    }
}

/// The keys and what they do, for the help.
pub(crate) fn described(purpose: Purpose) -> Vec<(&'static str, &'static str)> {
    let digits = [("1 2 3 4 5", "pages")];
    let bound = BINDINGS
        .iter()
        .filter(|binding| !binding.does.is_empty())
        .filter(|binding| binding.command != Command::Snapshot || purpose.snapshots)
        .filter(|binding| !binding.command.is_of_load() || purpose.holds_load())
        .map(|binding| match binding.command {
            Command::Quit if purpose.owns_run => (binding.written, "stop the run and leave"),
            _ => (binding.written, binding.does),
        });
    digits.into_iter().chain(bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_meaning() {
        let mut keys: Vec<KeyCode> =
            BINDINGS.iter().flat_map(|binding| binding.keys.iter().copied()).collect();
        let count = keys.len();
        keys.sort_by_key(|key| format!("{key:?}"));
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_key_that_can_do_nothing_is_not_shown() {
        let from_a_log = Purpose { snapshots: false, owns_run: false };
        assert!(described(from_a_log).iter().all(|(keys, _)| *keys != "d"));
        let live = Purpose { snapshots: true, owns_run: false };
        assert!(described(live).iter().any(|(keys, _)| *keys == "d"));
        // Rounds count their operations, so that only a plain load can be held.
        for (snapshots, owns_run, shown) in
            [(true, true, false), (false, true, true), (false, false, false)]
        {
            let described = described(Purpose { snapshots, owns_run });
            assert_eq!(described.iter().any(|(keys, _)| *keys == "P"), shown);
        }
    }
}
