//! Templates: text with `${...}` in it, compiled once. Pure.
//!
//! In: text of a scenario. Out: [`Template`]s, rendered into a buffer from the variables of a
//! virtual user. Every value is derived from (seed, input round, flow, vu, iteration), so that a
//! replay renders the same bytes. Which captures exist is left to the scenario and the plan.

mod made;

pub use made::Made;

use data_encoding::BASE64;
use serde::{Serialize, Serializer};
use std::io::Write;

/// What `now` counts from: 2026-01-01T00:00:00Z, Unix milliseconds. The real clock would make a
/// replay differ from its original.
const NOW_BASE_MS: u64 = 1_767_225_600_000;

/// How far `now` moves with each input round: an hour.
const NOW_ROUND_MS: u64 = 3_600_000;

/// Names that `${...}` knows besides captures, for "did you mean".
pub const VARIABLES: [&str; 17] = [
    "vu",
    "iteration",
    "sequence",
    "round",
    "uuid",
    "random(low,high)",
    "random_string(n)",
    "random_hex(n)",
    "pick(a|b|c)",
    "counter(name)",
    "now",
    "now_iso",
    "stamp",
    "env.NAME",
    "env.NAME:default",
    "base64(variable)",
    "url(variable)",
];

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
    /// The number of the iteration among all of the flow, from 0.
    Sequence,
    /// The input round.
    Round,
    /// A version 4 UUID.
    Uuid,
    /// A whole number, both ends included.
    Random(u64, u64),
    /// Unix milliseconds, derived like all the rest.
    Now,
    /// Something made up.
    Made(Made),
    /// An environment variable, and what it is when it is not set.
    Environment(String, Option<String>),
    /// Another variable, encoded.
    Encoded(Encoding, Box<Variable>),
    /// When the message is sent, for measuring its delivery.
    Stamp,
    /// A capture: its name, and its place among the flow's captures once bound.
    Capture(String, usize),
    /// What another template renders, in base64. Made by the plan alone.
    Base64(Template),
}

/// How a value is encoded on demand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
    /// Percent-encoded.
    Url,
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
    /// Users of a flow that number their iterations each for itself; 0 when iterations have
    /// numbers over the whole flow.
    pub stride: u64,
    state: u64,
    /// Counters of this iteration, by key.
    counts: Vec<(u64, u64)>,
}

impl Scope {
    /// A scope with nothing captured.
    #[must_use]
    pub fn new(round: u32, captures: usize) -> Self {
        let captures = vec![String::new(); captures];
        Self {
            vu: 0,
            iteration: 0,
            round,
            captures,
            stamp: String::new(),
            stride: 0,
            state: 0,
            counts: Vec::new(),
        }
    }

    /// Begins an iteration: all that is random from here on follows from these numbers.
    pub fn begin(&mut self, seed: u64, flow: usize, vu: u64, iteration: u64) {
        self.vu = vu;
        self.iteration = iteration;
        self.counts.clear();
        self.state = [u64::from(self.round), flow as u64, vu, iteration]
            .into_iter()
            .fold(mix(seed), |state, value| mix(state ^ mix(value)));
    }

    /// A random number beside the iteration's own ones: drawing it moves nothing.
    #[must_use]
    pub fn aside(&self, salt: u64) -> u64 {
        mix(self.state ^ mix(salt))
    }

    /// Where its random numbers are, for [`Scope::rewind`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.state
    }

    /// Goes on from a mark, so that what was drawn since then counts for nothing: how often a
    /// connection is lost must not change what is sent afterwards.
    pub fn rewind(&mut self, mark: u64) {
        self.state = mark;
    }

    /// The next random number (splitmix64, Steele, Lea and Flood 2014).
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// The number of the iteration among all of the flow.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self.stride {
            0 => self.iteration,
            stride => self.iteration.wrapping_mul(stride).wrapping_add(self.vu),
        }
    }

    /// A random number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.random()) * u128::from(bound)) >> 64) as u64
    }

    /// How often a counter was asked for before, in this iteration.
    fn count(&mut self, key: u64) -> u64 {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == key) {
            *count += 1;
            return *count - 1;
        }
        self.counts.push((key, 1));
        0
    }
}

/// Scatters the bits of a number (splitmix64's last steps).
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
            // `$${` is a `${` that means nothing.
            if let Some(before) = rest[..start].strip_suffix('$') {
                template.push_text(before);
                template.push_text("${");
                rest = &rest[start + 2..];
                continue;
            }
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

    /// Appends what another template renders, in base64 (RFC 4648, section 4).
    pub fn push_base64(&mut self, other: Self) {
        match other.as_static() {
            Some(text) => self.push_text(&BASE64.encode(text.as_bytes())),
            None => self.parts.push(Part::Variable(Variable::Base64(other), Escape::None)),
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
            Part::Variable(variable, _) => Some(variable.innermost()),
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
                Part::Variable(variable, escape) => match variable.bind(captures, environment)? {
                    Bound::Value(value) => {
                        let mut out = Vec::new();
                        write_escaped(&mut out, &value, escape);
                        self.push_text(&String::from_utf8_lossy(&out));
                    }
                    Bound::Later(variable) => self.parts.push(Part::Variable(variable, escape)),
                },
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

/// A variable once the surroundings are known.
enum Bound {
    /// Its value will not change.
    Value(String),
    /// Its value is known when it is rendered.
    Later(Variable),
}

impl Variable {
    fn bind(
        self,
        captures: &[String],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Bound, String> {
        Ok(match self {
            Self::Environment(name, default) => {
                let value = environment(&name).or(default).ok_or_else(|| {
                    format!(
                        "`${{env.{name}}}` is not set (export `{name}`, say `-e {name}=...`, or \
                         write `${{env.{name}:default}}`)"
                    )
                })?;
                Bound::Value(value)
            }
            Self::Capture(name, _) => {
                let place = captures
                    .iter()
                    .position(|capture| *capture == name)
                    .ok_or_else(|| unknown_variable(&name, captures))?;
                Bound::Later(Self::Capture(name, place))
            }
            Self::Encoded(encoding, inner) => match inner.bind(captures, environment)? {
                Bound::Value(value) => Bound::Value(encoding.of(value.as_bytes())),
                Bound::Later(inner) => Bound::Later(Self::Encoded(encoding, Box::new(inner))),
            },
            other => Bound::Later(other),
        })
    }

    /// The variable that is encoded, or itself.
    fn innermost(&self) -> &Self {
        match self {
            Self::Encoded(_, inner) => inner.innermost(),
            other => other,
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        if let Some(made) = Made::parse(name) {
            return made.map(Self::Made);
        }
        for (prefix, encoding) in [("base64(", Encoding::Base64), ("url(", Encoding::Url)] {
            if let Some(inner) = name.strip_prefix(prefix) {
                let inner = inner.strip_suffix(')').map(str::trim).filter(|it| !it.is_empty());
                let inner = inner.ok_or_else(|| {
                    format!("`${{{name}}}` is not `{prefix}variable)` with the name of a variable")
                })?;
                return Ok(Self::Encoded(encoding, Box::new(Self::parse(inner)?)));
            }
        }
        Ok(match name {
            "" => return Err("`${}` names nothing (name a variable or a capture)".to_owned()),
            "vu" => Self::Vu,
            "iteration" => Self::Iteration,
            "sequence" => Self::Sequence,
            "round" => Self::Round,
            "uuid" => Self::Uuid,
            "now" => Self::Now,
            "stamp" => Self::Stamp,
            _ if name.starts_with("env.") => match name[4..].split_once(':') {
                Some((name, default)) => {
                    Self::Environment(name.to_owned(), Some(default.to_owned()))
                }
                None => Self::Environment(name[4..].to_owned(), None),
            },
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
            Self::Sequence => "${sequence}".to_owned(),
            Self::Round => "${round}".to_owned(),
            Self::Uuid => "${uuid}".to_owned(),
            Self::Now => "${now}".to_owned(),
            Self::Stamp => "${stamp}".to_owned(),
            Self::Random(low, high) => format!("${{random({low},{high})}}"),
            Self::Made(made) => made.written(),
            Self::Environment(name, None) => format!("${{env.{name}}}"),
            Self::Environment(name, Some(default)) => format!("${{env.{name}:{default}}}"),
            Self::Encoded(encoding, inner) => {
                let inner = inner.written();
                let inner = inner.trim_start_matches("${").trim_end_matches('}');
                format!("${{{}({inner})}}", encoding.word())
            }
            Self::Capture(name, _) => format!("${{{name}}}"),
            Self::Base64(inner) => format!("base64({})", inner.written()),
        }
    }

    fn render(&self, out: &mut Vec<u8>, scope: &mut Scope, escape: Escape) {
        match self {
            Self::Vu => write_number(out, scope.vu),
            Self::Iteration => write_number(out, scope.iteration),
            Self::Sequence => write_number(out, scope.sequence()),
            Self::Round => write_number(out, u64::from(scope.round)),
            Self::Made(made) => made.render(out, scope, escape),
            Self::Encoded(encoding, inner) => {
                let mut value = Vec::new();
                inner.render(&mut value, scope, Escape::None);
                write_escaped(out, &encoding.of(&value), escape);
            }
            Self::Uuid => write_uuid(out, scope),
            Self::Random(low, high) => {
                // One more than a `u64` holds, when all of them are asked for.
                let width = u128::from(high - low) + 1;
                let drawn = (u128::from(scope.random()) * width) >> 64;
                write_number(out, low + drawn as u64);
            }
            Self::Now => write_number(out, now_ms(scope)),
            Self::Stamp => out.extend_from_slice(scope.stamp.as_bytes()),
            Self::Base64(inner) => {
                let mut plain = Vec::new();
                inner.render(&mut plain, scope);
                out.extend_from_slice(BASE64.encode(&plain).as_bytes());
            }
            // A plan has none left: `bind` replaced them by their values.
            Self::Environment(..) => {}
            Self::Capture(_, place) => {
                if let Some(value) = scope.captures.get(*place) {
                    write_escaped(out, value, escape);
                }
            }
        }
    }
}

impl Encoding {
    fn word(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Url => "url",
        }
    }

    fn of(self, value: &[u8]) -> String {
        match self {
            Self::Base64 => BASE64.encode(value),
            Self::Url => {
                let mut out = Vec::new();
                write_escaped(&mut out, &String::from_utf8_lossy(value), Escape::Query);
                String::from_utf8_lossy(&out).into_owned()
            }
        }
    }
}

/// Unix milliseconds of an iteration: derived like all the rest, so that a replay has them again.
fn now_ms(scope: &Scope) -> u64 {
    let round = u64::from(scope.round).wrapping_mul(NOW_ROUND_MS);
    let step = scope.iteration.wrapping_mul(1_000).wrapping_add(scope.vu);
    NOW_BASE_MS.wrapping_add(round).wrapping_add(step)
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
