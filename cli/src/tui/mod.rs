//! The screen. In: the events of a run, as they happen or from a log, and keys. Out: a picture of
//! the [`State`](ebbtide_record::State) that the events build, and the few wishes that concern
//! the run itself.
//!
//! [`app`] is what is shown and knows no view; [`view`] draws it and changes nothing; [`screen`]
//! alone knows the terminal. What happened, and how it is judged, is left to others.

mod app;
mod comparison;
mod key;
mod row;
mod screen;
mod theme;
mod view;

#[cfg(test)]
mod golden;

pub(crate) use app::{App, Purpose};
pub(crate) use screen::{Screen, ScreenEnd};
pub(crate) use theme::Theme;
pub(crate) use view::phase_words;
