//! How each cause is mended, in words and in short examples. In: a cause and a language. Out: a
//! [`Cure`]. One file for each cause, with the same three languages; the examples are read by
//! node, rustfmt and gofmt in the tests, so that none of them is a mere picture of code.

mod cache;
mod connection;
mod context;
mod listener;
mod task;
mod timer;
mod unknown;

use super::{Cause, Language};
use serde::Serialize;

/// An example: what leaks, and the same mended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Example {
    /// Its language.
    pub language: Language,
    /// Code that leaks.
    pub leaks: &'static str,
    /// The same, mended.
    pub mended: &'static str,
}

/// What is known of a cause.
struct Entry {
    /// What is wrong in such code, in a sentence or two.
    wrong: &'static str,
    /// What mends it, in a sentence or two.
    mend: &'static str,
    /// What to look for in the code.
    look: &'static [&'static str],
    examples: [Example; 3],
}

/// What is wrong in code that leaks by a cause, and how it is mended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Cure {
    /// What is wrong in such code.
    pub wrong: &'static str,
    /// What mends it.
    pub mend: &'static str,
    /// What to look for in the code, the likeliest first.
    pub look: &'static [&'static str],
    /// Examples: one where the language is known, else one for each.
    pub examples: Vec<Example>,
}

impl Cure {
    /// The cure of a cause in a language; in all of them where it is not known.
    #[must_use]
    pub fn of(cause: Cause, language: Option<Language>) -> Self {
        let entry = match cause {
            Cause::Listener => &listener::ENTRY,
            Cause::Timer => &timer::ENTRY,
            Cause::Connection => &connection::ENTRY,
            Cause::Context => &context::ENTRY,
            Cause::Cache => &cache::ENTRY,
            Cause::Task => &task::ENTRY,
            Cause::Unknown => &unknown::ENTRY,
        };
        let wanted = |example: &&Example| language.is_none_or(|known| known == example.language);
        Self {
            wrong: entry.wrong,
            mend: entry.mend,
            look: entry.look,
            examples: entry.examples.iter().filter(wanted).map(trimmed).collect(),
        }
    }
}

/// The example without the line ends that its text in the source begins and ends with.
fn trimmed(example: &Example) -> Example {
    let trim = |code: &'static str| code.trim_matches('\n');
    Example { leaks: trim(example.leaks), mended: trim(example.mended), ..*example }
}
