//! Templates: text with `${...}` in it, compiled once. Pure.
//!
//! In: text of a scenario. Out: [`Template`]s, rendered into a buffer from the variables of a
//! virtual user. Every value is derived from (seed, input round, flow, vu, iteration), so that a
//! replay renders the same bytes. Which captures exist is left to the scenario and the plan.

use serde::{Serialize, Serializer};
use std::io::Write;

/// What `now` counts from: 2026-01-01T00:00:00Z, Unix milliseconds. The real clock would make a
/// replay differ from its original.
const NOW_BASE_MS: u64 = 1_767_225_600_000;

/// How far `now` moves with each input round: an hour.
const NOW_ROUND_MS: u64 = 3_600_000;

/// Names that `${...}` knows besides captures, for "did you mean".
pub const VARIABLES: [&str; 8] =
    ["vu", "iteration", "round", "uuid", "random(low,high)", "now", "stamp", "env.NAME"];

/// A compiled template.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Variable(Variable, Escape),
}

/// What a `${...}` stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Variable {
    /// The virtual user, from 0.
    Vu,
    /// The user's iteration, from 0.
    Iteration,
    /// The input round.
    Round,
    /// A version 4 UUID.
    Uuid,
    /// A whole number, both ends included.
    Random(u64, u64),
    /// Unix milliseconds, derived like all the rest.
    Now,
    /// An environment variable.
    Environment(String),
    /// When the message is sent, for measuring its delivery.
    Stamp,
    /// A capture: its name, and its place among the flow's captures once bound.
    Capture(String, usize),
}

/// How a value is written into its surroundings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Escape {
    /// As it is.
    #[default]
    None,
    /// As the inside of a JSON string.
    Json,
    /// Percent-encoded.
    Query,
}

/// What a template is rendered from.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The virtual user, from 0.
    pub vu: u64,
    /// The user's iteration, from 0.
    pub iteration: u64,
    /// The input round.
    pub round: u32,
    /// Captures of the flow, by place.
    pub captures: Vec<String>,
    /// Text of `${stamp}`, set before each message that carries one.
    pub stamp: String,
    state: u64,
}

impl Scope {
    /// A scope with nothing captured.
    #[must_use]
    pub fn new(round: u32, captures: usize) -> Self {
        let captures = vec![String::new(); captures];
        Self { vu: 0, iteration: 0, round, captures, stamp: String::new(), state: 0 }
    }

    /// Begins an iteration: all that is random from here on follows from these numbers.
    pub fn begin(&mut self, seed: u64, flow: usize, vu: u64, iteration: u64) {
        self.vu = vu;
        self.iteration = iteration;
        self.state = [u64::from(self.round), flow as u64, vu, iteration]
            .into_iter()
            .fold(mix(seed), |state, value| mix(state ^ mix(value)));
    }

    /// The next random number (splitmix64, Steele, Lea and Flood 2014).
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }
}

pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Template {
    /// Text without variables.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())] }
    }

    /// Compiles text.
    ///
    /// # Errors
    /// What is wrong with a `${...}`, with its cure.
    pub fn compile(text: &str, escape: Escape) -> Result<Self, String> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            template.push_text(&rest[..start]);
            let inner = &rest[start + 2..];
            let Some(end) = inner.find('}') else {
                return Err(format!("`{}` is not closed (add `}}`)", &rest[start..]));
            };
            let variable = Variable::parse(inner[..end].trim())?;
            template.parts.push(Part::Variable(variable, escape));
            rest = &inner[end + 1..];
        }
        template.push_text(rest);
        Ok(template)
    }

    /// Appends text as it is.
    pub fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Text(text.to_owned()));
        }
    }

    /// Appends another template.
    pub fn push(&mut self, other: Self) {
        for part in other.parts {
            match part {
                Part::Text(text) => self.push_text(&text),
                variable @ Part::Variable(..) => self.parts.push(variable),
            }
        }
    }

    /// The text, when there is no variable in it.
    #[must_use]
    pub fn as_static(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text as the user wrote it.
    #[must_use]
    pub fn written(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(variable, _) => variable.written(),
        });
        parts.collect()
    }

    /// Whether its fixed text contains `needle`.
    #[must_use]
    pub fn contains(&self, needle: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains(needle)))
    }

    /// The text it begins with, if it begins with text.
    #[must_use]
    pub fn first_text(&self) -> Option<&str> {
        match self.parts.first() {
            Some(Part::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Drops the first bytes of the text it begins with.
    pub fn cut_first(&mut self, bytes: usize) {
        if let Some(Part::Text(text)) = self.parts.first_mut() {
            text.drain(..bytes.min(text.len()));
        }
    }

    /// Whether `${stamp}` is in it.
    #[must_use]
    pub fn has_stamp(&self) -> bool {
        self.variables().any(|variable| *variable == Variable::Stamp)
    }

    /// Adds a field to the end of a JSON object; false when the text does not end like one.
    pub fn add_json_field(&mut self, name: &str, value: &str) -> bool {
        let Some(Part::Text(last)) = self.parts.last_mut() else { return false };
        if !last.ends_with('}') {
            return false;
        }
        last.pop();
        let comma = if last.trim_end() == "{" { "" } else { "," };
        last.push_str(&format!("{comma}\"{name}\":\""));
        match Self::compile(value, Escape::Json) {
            Ok(value) => self.push(value),
            Err(_) => return false,
        }
        self.push_text("\"}");
        true
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable, _) => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// Gives every capture its place, and every environment variable its value.
    ///
    /// # Errors
    /// The variable that has neither.
    pub fn bind(
        &mut self,
        captures: &[String],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        let parts = std::mem::take(&mut self.parts);
        for part in parts {
            match part {
                Part::Text(text) => self.push_text(&text),
                Part::Variable(Variable::Environment(name), escape) => {
                    let value = environment(&name)
                        .ok_or_else(|| format!("`${{env.{name}}}` is not set (export `{name}`)"))?;
                    let mut out = Vec::new();
                    write_escaped(&mut out, &value, escape);
                    self.push_text(&String::from_utf8_lossy(&out));
                }
                Part::Variable(Variable::Capture(name, _), escape) => {
                    let place = captures
                        .iter()
                        .position(|capture| *capture == name)
                        .ok_or_else(|| unknown_variable(&name, captures))?;
                    self.parts.push(Part::Variable(Variable::Capture(name, place), escape));
                }
                variable @ Part::Variable(..) => self.parts.push(variable),
            }
        }
        Ok(())
    }

    /// Appends the rendered text to `out`.
    pub fn render(&self, out: &mut Vec<u8>, scope: &mut Scope) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable, escape) => variable.render(out, scope, *escape),
            }
        }
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
    }
}

/// What is said of a name that is neither a variable nor a capture.
#[must_use]
pub fn unknown_variable(name: &str, captures: &[String]) -> String {
    let known = VARIABLES.iter().copied().chain(captures.iter().map(String::as_str));
    let hint = crate::fault::did_you_mean(name, known.clone());
    if hint.is_empty() {
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        return format!("unknown variable `{name}` (known: {})", known.join(", "));
    }
    format!("unknown variable `{name}`{hint}")
}

impl Variable {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "" => return Err("`${}` names nothing (name a variable or a capture)".to_owned()),
            "vu" => Self::Vu,
            "iteration" => Self::Iteration,
            "round" => Self::Round,
            "uuid" => Self::Uuid,
            "now" => Self::Now,
            "stamp" => Self::Stamp,
            _ if name.starts_with("env.") => Self::Environment(name[4..].to_owned()),
            _ if name.starts_with("random(") => return Self::parse_random(name),
            _ => Self::Capture(name.to_owned(), 0),
        })
    }

    fn parse_random(name: &str) -> Result<Self, String> {
        let bad =
            || format!("`${{{name}}}` is not `random(low,high)` with two whole numbers, low first");
        let inner =
            name.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(bad)?;
        let (low, high) = inner.split_once(',').ok_or_else(bad)?;
        match (low.trim().parse(), high.trim().parse()) {
            (Ok(low), Ok(high)) if low <= high => Ok(Self::Random(low, high)),
            _ => Err(bad()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Vu => "${vu}".to_owned(),
            Self::Iteration => "${iteration}".to_owned(),
            Self::Round => "${round}".to_owned(),
            Self::Uuid => "${uuid}".to_owned(),
            Self::Now => "${now}".to_owned(),
            Self::Stamp => "${stamp}".to_owned(),
            Self::Random(low, high) => format!("${{random({low},{high})}}"),
            Self::Environment(name) => format!("${{env.{name}}}"),
            Self::Capture(name, _) => format!("${{{name}}}"),
        }
    }

    fn render(&self, out: &mut Vec<u8>, scope: &mut Scope, escape: Escape) {
        match self {
            Self::Vu => write_number(out, scope.vu),
            Self::Iteration => write_number(out, scope.iteration),
            Self::Round => write_number(out, u64::from(scope.round)),
            Self::Uuid => write_uuid(out, scope),
            Self::Random(low, high) => {
                let width = u128::from(high - low) + 1;
                let drawn = (u128::from(scope.random()) * width) >> 64;
                write_number(out, low + drawn as u64);
            }
            Self::Now => {
                let round = u64::from(scope.round).wrapping_mul(NOW_ROUND_MS);
                let step = scope.iteration.wrapping_mul(1_000).wrapping_add(scope.vu);
                write_number(out, NOW_BASE_MS.wrapping_add(round).wrapping_add(step));
            }
            Self::Stamp => out.extend_from_slice(scope.stamp.as_bytes()),
            // A plan has none left: `bind` replaced them by their values.
            Self::Environment(_) => {}
            Self::Capture(_, place) => {
                if let Some(value) = scope.captures.get(*place) {
                    write_escaped(out, value, escape);
                }
            }
        }
    }
}

fn write_number(out: &mut Vec<u8>, value: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

fn write_uuid(out: &mut Vec<u8>, scope: &mut Scope) {
    let high = scope.random() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000;
    let low = scope.random() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000;
    let _ = write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    );
}

/// Writes a value into its surroundings.
pub fn write_escaped(out: &mut Vec<u8>, value: &str, escape: Escape) {
    match escape {
        Escape::None => out.extend_from_slice(value.as_bytes()),
        Escape::Json => {
            for byte in value.bytes() {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\t' => out.extend_from_slice(b"\\t"),
                    0..=0x1F => {
                        let _ = write!(out, "\\u{byte:04x}");
                    }
                    _ => out.push(byte),
                }
            }
        }
        Escape::Query => {
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(byte);
                } else {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
    }
}
