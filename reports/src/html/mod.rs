//! One self-contained HTML file: no network, a strict content security policy, readable without
//! its script and on paper. In goes the state of a run, out goes the page. The parts stand in
//! the order in which the page shows them.
//!
//! The style and the script are files of their own beside this one and are let in by their hash;
//! everything else in the page is data. No attribute holds style or script.

mod classes;
mod data;
mod explain;
mod load;
mod markup;
mod memory;
mod method;
mod overview;
mod timeline;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ebbtide_record::State;
use sha2::{Digest as _, Sha256};

/// The page's only style.
const STYLE: &str = include_str!("report.css");

/// The page's only script.
const SCRIPT: &str = include_str!("report.js");

/// The page.
#[must_use]
pub fn render(state: &State) -> String {
    let title = state.started.as_ref().map_or("run", |started| started.name.as_str());
    let body = [
        overview::section(state),
        timeline::section(state),
        memory::section(state),
        classes::section(state),
        load::section(state),
        method::section(state),
    ]
    .concat();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title} - Ebbtide</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\
         <script type=\"application/json\" id=\"run\">{data}</script>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        policy = policy(),
        title = markup::escaped(title),
        data = markup::json_in_script(&data::embedded(state).to_string()),
    )
}

/// Nothing may be loaded or sent; the one style and the one script may run.
fn policy() -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// A source expression of the content security policy, level 2: the hash of an element's text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}
