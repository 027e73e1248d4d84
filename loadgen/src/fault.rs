//! Faults of a scenario: what is wrong, where, and how to mend it. All faults of a file are
//! gathered, so that a user mends them in one go.
//!
//! In: findings of the reader and of the plan. Out: one line of text per fault. Whether a fault
//! ends the program, and with which exit code, is left to the caller.

use std::fmt;

/// Faults listed at most; a file with more of them has one cause that repeats.
pub const FAULTS_MAX: usize = 100;

/// One fault of a scenario.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The file as the user named it; empty when the fault is not in a file.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: usize,
    /// Column in characters, from 1; 0 when unknown.
    pub column: usize,
    /// Path of the field: `flow.chat.steps[2].send`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and its cure.
    pub what: String,
}

/// All faults of a scenario, in the order of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq, thiserror::Error)]
pub struct Faults {
    /// The faults; never empty in an `Err`.
    pub list: Vec<Fault>,
}

impl Faults {
    /// A single fault that has no place in a file.
    #[must_use]
    pub fn one(path: &str, what: impl Into<String>) -> Self {
        let fault = Fault {
            file: String::new(),
            line: 0,
            column: 0,
            path: path.to_owned(),
            what: what.into(),
        };
        Self { list: vec![fault] }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if self.line > 0 {
                write!(f, "{}:", self.line)?;
            }
            f.write_str(" ")?;
        }
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().take(FAULTS_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        if self.list.len() > FAULTS_MAX {
            write!(f, "\n... and {} more", self.list.len() - FAULTS_MAX)?;
        }
        Ok(())
    }
}

/// How alike two names must be to be offered as a cure, from 0 to 1.
const LIKENESS_MIN: f64 = 0.65;

/// ` (did you mean ...?)` for the known name that is most like `name`; empty when none is.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| format!(" (did you mean `{candidate}`?)"))
        .unwrap_or_default()
}

/// Letters swapped count little in short names, common beginnings much in long ones; neither
/// measure has both.
fn likeness(name: &str, candidate: &str) -> f64 {
    let edits = strsim::normalized_damerau_levenshtein(name, candidate);
    let beginning = strsim::jaro_winkler(name, candidate) - 0.1;
    edits.max(beginning)
}
