//! How things look: with colours, or with none. Nothing is told by colour alone: words, marks
//! and weight say the same, so that a screen without colour loses nothing.
//! In: whether colour is wanted. Out: styles. Where they go is left to the views.

use ebbtide_record::Verdict;
use ebbtide_reports::finding::Tone;
use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    /// Colours are used.
    pub(crate) color: bool,
}

impl Theme {
    fn fore(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// A line on a chart; `Reset` is the terminal's own.
    pub(crate) fn line(self, color: Color) -> Color {
        if self.color { color } else { Color::Reset }
    }

    /// The resident set.
    pub(crate) const RSS: Color = Color::Blue;
    /// The live heap.
    pub(crate) const LIVE: Color = Color::Green;

    /// A heading.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is of less weight. Dim text is hard to read on some terminals, so only with colour.
    pub(crate) fn quiet(self) -> Style {
        self.fore(Color::DarkGray)
    }

    /// What is chosen.
    pub(crate) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A doubt.
    pub(crate) fn doubt(self) -> Style {
        self.fore(Color::Yellow)
    }

    /// Something bad.
    pub(crate) fn bad(self) -> Style {
        self.fore(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A verdict.
    pub(crate) fn verdict(self, verdict: Verdict) -> Style {
        match Tone::of(verdict) {
            Tone::Bad => self.bad(),
            Tone::Doubt => self.doubt(),
            Tone::Good => self.fore(Color::Green),
            Tone::Plain => Style::new(),
        }
    }
}
