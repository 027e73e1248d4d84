//! The screen against golden text: the same events and the same keys give the same picture, at
//! the smallest size and at a large one, without colour. `EBBTIDE_BLESS=1` writes the texts anew.
//! In: events of a run from `tests/runs`. Out: files in `tests/golden`.

use super::app::{Action, App, Purpose, Tab};
use super::theme::Theme;
use super::view;
use ebbtide_record::event::Event;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::path::PathBuf;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];
const LIVE: Purpose = Purpose { snapshots: true, owns_run: true };
const STORED: Purpose = Purpose { snapshots: false, owns_run: false };

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn events(name: &str) -> Vec<Event> {
    let path = folder().join("runs").join(format!("{name}.ndjson"));
    std::fs::read_to_string(&path)
        .expect("the events of a run")
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect()
}

fn app(run: &str, share: f64, purpose: Purpose, keys: &str) -> App {
    let events = events(run);
    let count = (events.len() as f64 * share) as usize;
    let mut app = App::new(purpose);
    events[..count].iter().for_each(|event| app.apply(event));
    press(&mut app, keys);
    app
}

fn press(app: &mut App, keys: &str) -> Option<Action> {
    keys.chars()
        .map(|letter| {
            let code = match letter {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                letter => KeyCode::Char(letter),
            };
            app.key(KeyEvent::new(code, KeyModifiers::NONE))
        })
        .last()
        .flatten()
}

fn picture(app: &App, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test screen");
    terminal
        .draw(|frame| view::draw(frame, app, Theme { color: false }))
        .expect("a test screen is always drawn");
    let buffer = terminal.backend().buffer();
    (0..height)
        .map(|y| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            format!("{}\n", line.trim_end())
        })
        .collect()
}

#[test]
fn pages_look_as_they_did() {
    let scenes = [
        ("memory-live", app("leak", 0.6, LIVE, "3")),
        ("memory-ended", app("leak", 1.0, STORED, "3")),
        ("leaks-before-verdict", app("leak", 0.4, LIVE, "4")),
        ("leaks-ended", app("leak", 1.0, STORED, "4")),
        ("leaks-site", app("leak", 1.0, STORED, "4\n")),
        ("leaks-explained", app("leak", 1.0, STORED, "4e")),
        ("leaks-explained-cure", app("leak", 1.0, STORED, "4\neG")),
        ("leaks-compared", app("leak", 1.0, STORED, "bg\nxkk\n")),
        ("leaks-filtered", app("leak", 1.0, STORED, "/hub\n")),
        ("baseline", app("leak", 1.0, STORED, "4bgj")),
        ("load", app("load", 1.0, STORED, "1")),
        ("latency", app("load", 1.0, STORED, "2")),
        ("errors", app("load", 1.0, STORED, "5")),
        ("help", app("leak", 0.6, LIVE, "?")),
        ("empty", App::new(LIVE)),
    ];
    let bless = std::env::var_os("EBBTIDE_BLESS").is_some();
    for (name, app) in scenes {
        for (width, height) in SIZES {
            let path = folder().join("golden").join(format!("{name}-{width}x{height}.txt"));
            let seen = picture(&app, (width, height));
            if bless {
                std::fs::write(&path, &seen).expect("a golden file");
            }
            let golden = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(seen == golden, "{} differs; it is now\n{seen}", path.display());
        }
    }
}

#[test]
fn every_page_is_drawn_at_any_size_and_from_any_events() {
    for run in ["leak", "load"] {
        for share in [0.0, 0.1, 0.5, 1.0] {
            for tab in 0..Tab::ALL.len() {
                for size in [(1, 1), (60, 16), (61, 17), (80, 24), (400, 100)] {
                    let app = app(run, share, LIVE, &format!("{}+", tab + 1));
                    picture(&app, size);
                }
            }
        }
    }
}

#[test]
fn a_frozen_view_stands_still_while_the_run_goes_on() {
    let mut app = app("leak", 0.5, LIVE, "3 ");
    let frozen = picture(&app, SIZES[0]);
    events("leak").iter().skip(200).for_each(|event| app.apply(event));
    app.notice.clear();
    assert_eq!(picture(&app, SIZES[0]), frozen);
    press(&mut app, " ");
    assert_ne!(picture(&app, SIZES[0]), frozen);
}

#[test]
fn a_load_without_rounds_opens_on_the_load_and_all_else_on_memory() {
    let load = Purpose { snapshots: false, owns_run: true };
    assert_eq!(App::new(load).tab, Tab::Load);
    assert_eq!((App::new(LIVE).tab, App::new(STORED).tab), (Tab::Memory, Tab::Memory));
}

#[test]
fn keys_lead_where_the_help_says() {
    let mut live = app("leak", 0.5, LIVE, "");
    assert_eq!(press(&mut live, "d"), Some(Action::Snapshot));
    assert_eq!(press(&mut live, "q"), None, "a run is not ended by one key");
    assert_eq!(press(&mut live, "jq"), None, "another key takes it back");
    assert_eq!(press(&mut live, "q"), Some(Action::Quit));
    let mut stored = app("leak", 1.0, STORED, "4");
    assert_eq!(press(&mut stored, "d"), None, "a log takes no snapshots");
    assert_eq!(press(&mut stored, "?q"), None, "q closes what lies over the page first");
    assert_eq!(press(&mut stored, "q"), Some(Action::Quit));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(stored.key(interrupt), Some(Action::Interrupt));
}

#[test]
fn any_two_snapshots_are_compared_and_escape_ends_it() {
    let mut app = app("leak", 1.0, STORED, "bgj\nxG\n");
    let comparison = app.comparison().expect("two were chosen");
    assert_eq!(comparison.before.value.index, 1);
    let last = app.shown().snapshots.last().expect("snapshots").value.index;
    assert_eq!(comparison.after.value.index, last);
    press(&mut app, "\u{1b}\u{1b}");
    assert!(app.comparison().is_none());
}
