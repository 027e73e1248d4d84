//! The views: functions from the app to a picture; none of them changes anything. Here is what
//! all pages have around them: the title, the pages' names, where the run is, warnings, keys.
//! Each page has a file; [`chart`] draws values over time for all of them.

mod chart;
mod errors;
mod explain;
mod help;
mod latency;
mod leaks;
mod load;
mod memory;
mod picker;
mod progress;
mod site;
mod text;

pub(crate) use progress::words as phase_words;

use super::app::{App, Overlay, Tab};
use super::theme::Theme;
use ebbtide_reports::figures;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// The smallest screen that is laid out for.
const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 16;

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, theme: Theme) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let words = format!("this screen needs {WIDTH_MIN} columns and {HEIGHT_MIN} lines");
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let [title, tabs, status, page, warning, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_title(frame, title, app, theme);
    frame.render_widget(tab_names(app, theme), tabs);
    progress::draw(frame, status, app, theme);
    match app.tab {
        Tab::Load => load::draw(frame, page, app, theme),
        Tab::Latency => latency::draw(frame, page, app, theme),
        Tab::Memory => memory::draw(frame, page, app, theme),
        Tab::Leaks => leaks::draw(frame, page, app, theme),
        Tab::Errors => errors::draw(frame, page, app, theme),
    }
    frame.render_widget(warning_line(app, theme), warning);
    frame.render_widget(key_line(app, theme), keys);
    match app.overlay {
        Overlay::None | Overlay::Filter => {}
        Overlay::Help => help::draw(frame, page, app, theme),
        Overlay::Site => site::draw(frame, page, app, theme),
        Overlay::Explain => explain::draw(frame, page, app, theme),
        Overlay::Baseline | Overlay::Compared => picker::draw(frame, page, app, theme),
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let state = app.shown();
    let started = state.started.as_ref();
    let name = started.map_or("waiting for the run to begin", |started| started.name.as_str());
    let mut left = vec![Span::styled("ebb ", theme.quiet()), Span::styled(name, theme.strong())];
    if let Some(started) = started.filter(|started| !started.base.is_empty()) {
        left.push(Span::raw(format!("  {}", started.base)));
    }
    if let Some(pid) = started.and_then(|started| started.target_pid) {
        left.push(Span::raw(format!("  pid {pid}")));
    }
    let word = if app.is_frozen() {
        "FROZEN "
    } else if state.ended.is_some() {
        "ended "
    } else {
        ""
    };
    let right = Line::from(vec![
        Span::styled(word, theme.strong()),
        Span::raw(figures::duration(state.now_ms as f64)),
    ]);
    let [left_area, right_area] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(right.width() as u16 + 1)])
            .areas(area);
    frame.render_widget(Line::from(left), left_area);
    frame.render_widget(right.right_aligned(), right_area);
}

fn tab_names<'a>(app: &App, theme: Theme) -> Line<'a> {
    let mut spans = Vec::new();
    for (place, tab) in Tab::ALL.into_iter().enumerate() {
        let name = format!("{} {}", place + 1, tab.title());
        if tab == app.tab {
            spans.push(Span::styled(format!("[{name}]"), theme.strong()));
        } else {
            spans.push(Span::raw(format!(" {name} ")));
        }
        spans.push(Span::raw(" "));
    }
    let verdict = app.shown().memory.verdict;
    if verdict != ebbtide_record::Verdict::NotWatched {
        spans.push(Span::raw("  memory: "));
        spans.push(Span::styled(verdict.key(), theme.verdict(verdict)));
    }
    Line::from(spans)
}

/// The newest doubt about the measurement; how many others there are stands on the last page.
fn warning_line<'a>(app: &App, theme: Theme) -> Line<'a> {
    let warnings = &app.shown().warnings;
    let Some(warning) = warnings.last() else { return Line::default() };
    let others = match warnings.len() {
        1 => String::new(),
        count => format!(" (and {} more, see 5)", count - 1),
    };
    Line::from(vec![
        Span::styled("! ", theme.bad()),
        Span::styled(format!("{}{others}", warning.message), theme.doubt()),
    ])
}

fn key_line<'a>(app: &'a App, theme: Theme) -> Line<'a> {
    if app.overlay == Overlay::Filter {
        return Line::from(format!("filter: {}_   enter keeps it, esc clears it", app.filter));
    }
    if !app.notice.is_empty() {
        return Line::styled(app.notice.as_str(), theme.strong());
    }
    let words = match (app.overlay, app.tab) {
        (Overlay::Baseline | Overlay::Compared, _) => "j k move  enter choose  esc close",
        (Overlay::Site, _) => "j k scroll  e explain  esc close",
        (Overlay::Explain | Overlay::Help, _) => "j k scroll  esc close",
        (_, Tab::Leaks) if app.purpose.snapshots => {
            "enter open  b baseline  x compare  / filter  s sort  d snapshot  ? keys  q leave"
        }
        (_, Tab::Leaks) => {
            "enter open  e explain  b baseline  x compare  / filter  s sort  ? keys  q leave"
        }
        (_, Tab::Errors) => "1-5 tab pages  j k scroll  space freeze  ? keys  q leave",
        _ if app.purpose.snapshots => {
            "1-5 tab pages  + - a time  d snapshot  space freeze  ? keys  q leave"
        }
        _ => "1-5 tab pages  + - a time  space freeze  ? keys  q leave",
    };
    Line::styled(words, theme.quiet())
}
