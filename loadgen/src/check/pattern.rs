//! Regular expressions over bytes, compiled once. Pure.
//!
//! In: the text of a scenario. Out: [`Pattern`]s of bounded size, whose search takes time linear in
//! what is searched. Which group is wanted is left to the caller.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled expression at most, bytes: one that is larger is a mistake, or an attack on oneself.
const SIZE_MAX: usize = 1024 * 1024;

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written() == other.written()
    }
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn compile(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).build();
        let regex = built.map_err(|cause| match cause {
            regex::Error::CompiledTooBig(_) => {
                format!("`{text}` compiles to more than {SIZE_MAX} bytes (repeat less in it)")
            }
            other => {
                let text_of = other.to_string();
                let last = text_of.lines().last().unwrap_or_default();
                let why = last.strip_prefix("error: ").unwrap_or(last);
                format!("`{text}` is not a regular expression: {why} (write `\\(` for a bracket)")
            }
        })?;
        Ok(Self { regex })
    }

    /// As the user wrote it.
    #[must_use]
    pub fn written(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether it finds something.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// The place of a group: of this name; else the first named one, the first, or the whole.
    #[must_use]
    pub fn place_of(&self, name: Option<&str>) -> Option<usize> {
        let mut names = self.regex.capture_names().enumerate();
        match name {
            Some(name) => names.find(|(_, known)| *known == Some(name)).map(|(place, _)| place),
            None => names
                .find(|(_, known)| known.is_some())
                .map(|(place, _)| place)
                .or_else(|| Some(usize::from(self.groups() > 0))),
        }
    }

    /// How many groups it has besides the whole.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// A group of the first match.
    #[must_use]
    pub fn group<'t>(&self, text: &'t [u8], place: usize) -> Option<&'t [u8]> {
        if place == 0 {
            return self.regex.find(text).map(|found| found.as_bytes());
        }
        self.regex.captures(text)?.get(place).map(|found| found.as_bytes())
    }
}
