//! Renders a recorded run. In goes the [`State`](ebbtide_record::State) that the events of a run
//! build, or its [`Summary`](ebbtide_record::Summary); out comes a string: [`text`] and
//! [`autocannon`] for a terminal, [`json`] for programs, [`html`] for a browser, [`junit`] and
//! [`markdown`] for continuous integration, [`series`] and [`openmetrics`] for other tools.
//!
//! All of it is pure: the same state gives the same bytes. Files, the terminal, the browser and
//! sending what [`push`] makes are left to others. Findings are put into words in [`finding`],
//! a site's evidence, cause and cure in [`explain`].

pub mod autocannon;
pub mod explain;
pub mod figures;
pub mod finding;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod openmetrics;
pub mod push;
pub mod series;
mod shell;
pub mod text;
