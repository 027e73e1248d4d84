//! Templates: text with `${...}` in it, compiled once. Pure.
//!
//! In: text of a scenario. Out: [`Template`]s, rendered into a buffer from a virtual user's
//! variables. Every value is derived from (seed, input round, vu, iteration), so that a replay
//! renders the same bytes. Which captures exist is checked by the scenario.

/// A compiled template.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    /// Its text.
    pub text: String,
}
