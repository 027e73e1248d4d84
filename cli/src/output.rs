//! Where things are said: results on standard output, all else on standard error. In: text. Out:
//! the streams, with colour where it is wanted, and how wide the terminal is.
//! What is said, and in which words, is left to the commands and to `reports`.

use crate::failure::Failure;
use crate::flags::{Color, Shared};
use ebbtide_record::State;
use ebbtide_reports::explain;
use ebbtide_reports::text::Style;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Columns when there is no terminal to ask.
const WIDTH: usize = 100;

/// Where things are said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    quiet: bool,
    color: Color,
}

impl Output {
    /// As the flags have it.
    pub(crate) fn new(shared: Shared) -> Self {
        Self { quiet: shared.quiet, color: shared.color }
    }

    /// Prints the result.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written. A reader that has gone away is no error.
    pub(crate) fn result(self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// The same where the result may be no text.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written. A reader that has gone away is no error.
    pub(crate) fn bytes(self, result: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(result).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says something that is not the result.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Progress is wanted.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Standard output and standard error are one terminal, as far as can be told.
    pub(crate) fn has_screen(self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// Colours are wanted on a stream that is a terminal or not.
    pub(crate) fn color(self, terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                terminal && !refused && !dumb
            }
        }
    }

    /// The result of a run: text, or exactly one JSON document.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub(crate) fn run(
        self,
        state: &State,
        folder: Option<&Path>,
        json: bool,
    ) -> Result<(), Failure> {
        if json {
            let summary = ebbtide_record::Summary::of(state);
            return self.result(&ebbtide_reports::json::render(&summary));
        }
        let folder = folder.map(shown);
        self.result(&ebbtide_reports::text::render(state, self.style(folder.as_deref())))
    }

    /// Why one site got its word: text, or exactly one JSON document.
    ///
    /// # Errors
    ///
    /// When no site goes by that name, or several do; when standard output cannot be written.
    pub(crate) fn explained(
        self,
        state: &State,
        site: &str,
        folder: Option<&str>,
        json: bool,
    ) -> Result<(), Failure> {
        let at = explain::choose(&state.memory.sites, site).map_err(Failure::usage)?;
        let case = explain::Case::of(state, &state.memory.sites[at], folder);
        if !json {
            return self.result(&ebbtide_reports::text::explain(&case, self.style(None)));
        }
        let document = serde_json::json!({
            "row": at + 1,
            "site": case.site,
            "explanation": explain::Explanation::of(&case),
        });
        self.result(&format!("{document:#}\n"))
    }

    /// For text that goes to a file: no colours, unless they are always wanted.
    pub(crate) fn for_file(self) -> Self {
        let color = if self.color == Color::Always { Color::Always } else { Color::Never };
        Self { color, ..self }
    }

    /// How text on standard output looks.
    pub(crate) fn style(self, folder: Option<&str>) -> Style<'_> {
        Style { color: self.color(io::stdout().is_terminal()), width: width(), folder, rows: None }
    }
}

/// A path as a person would type it: from the working folder where it lies in it.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short.unwrap_or_else(|| path.to_owned()).display().to_string()
}

fn width() -> usize {
    if !io::stdout().is_terminal() {
        return WIDTH;
    }
    ratatui::crossterm::terminal::size().map_or(WIDTH, |(columns, _)| usize::from(columns))
}
