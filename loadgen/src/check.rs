//! What is asked of a reply: predicates that are counted as checks, and sources of captures. Pure.
//!
//! In: predicates and sources of a plan, a reply as an [`Answer`]. Out: whether a predicate holds,
//! and the text that a source finds. What they are called, how they are written in a scenario, and
//! where found text goes is left to others.

mod json_path;
mod pattern;

pub use json_path::JsonPath;
pub use pattern::Pattern;

use crate::template::{Scope, Template};
use memchr::memmem;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

/// A predicate on a reply, counted under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name: `status is 200`.
    pub name: String,
    /// What must hold.
    pub predicate: Predicate,
}

/// What must hold of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// The status is in one of these ranges.
    Status(Vec<(u16, u16)>),
    /// A header of this name has a value that matches.
    Header(String, Matcher),
    /// The body matches.
    Body(Matcher),
    /// The value in the body's JSON matches.
    Json(Query, Matcher),
    /// The reply took less than this.
    Time(Duration),
    /// The inner one does not hold.
    Not(Box<Predicate>),
    /// All of them hold.
    All(Vec<Predicate>),
}

/// What a value must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Matcher {
    /// It is there.
    Exists,
    /// It equals the text; a JSON number its own text.
    Is(Template),
    /// The text is in it.
    Contains(Template),
    /// The regular expression finds something in it.
    Matches(Pattern),
    /// It is a number above this.
    Above(f64),
    /// It is a number below this.
    Below(f64),
    /// It is a number of this or above.
    AtLeast(f64),
    /// It is a number of this or below.
    AtMost(f64),
    /// It has so many bytes, or as a JSON array so many members: at least, at most.
    Length(u64, u64),
}

/// A place in a JSON document.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// A JSON Pointer (RFC 6901): `/items/0/id`.
    Pointer(String),
    /// A JSONPath (RFC 9535, without functions): `$.items[0].id`.
    Path(JsonPath),
}

/// Where a captured value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The first value at a place of the body's JSON.
    Json(Query),
    /// A group of the first match in the body.
    Regex(Pattern, usize),
    /// The first header of this name.
    Header(String),
    /// The cookie of this name: as the reply sets it, or as the user's jar holds it.
    Cookie(String),
    /// The status.
    Status,
    /// The whole body.
    Body,
}

/// A variable taken from a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// Name of the variable.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// What it is when nothing is found there; none when that is a failed check.
    pub default: Option<Template>,
}

impl Capture {
    /// Name of the check that counts whether something was found.
    #[must_use]
    pub fn check_name(&self) -> String {
        format!("capture {}", self.name)
    }
}

/// A reply, or a message, as predicates and sources see it.
pub struct Answer<'a> {
    /// HTTP status; 0 of a message.
    pub status: u16,
    /// Head of the reply as it came, when it was kept.
    pub head: &'a [u8],
    /// The body, decoded.
    pub body: &'a [u8],
    /// How long it took.
    pub time: Duration,
    /// What the user's cookie jar holds under a name.
    pub jar: &'a dyn Fn(&str) -> Option<String>,
    json: OnceCell<Option<Value>>,
}

impl<'a> Answer<'a> {
    /// The answer to an exchange.
    #[must_use]
    pub fn new(
        (status, time): (u16, Duration),
        (head, body): (&'a [u8], &'a [u8]),
        jar: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self { status, head, body, time, jar, json: OnceCell::new() }
    }

    /// A message, which is all body.
    #[must_use]
    pub fn message(body: &'a [u8]) -> Self {
        Self::new((0, Duration::ZERO), (b"", body), &|_| None)
    }

    fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_slice(self.body).ok()).as_ref()
    }
}

/// Values of a header in a head as it came on the wire.
pub fn headers<'h>(head: &'h [u8], name: &str) -> impl Iterator<Item = &'h [u8]> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(move |line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// Name and value of a `Set-Cookie` header, and what stands after them.
#[must_use]
pub fn cookie_pair(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let equals = memchr::memchr(b'=', &value[..end])?;
    let (name, text) = (value[..equals].trim_ascii(), value[equals + 1..end].trim_ascii());
    (!name.is_empty()).then_some((name, text, &value[end..]))
}

impl Predicate {
    /// Whether it holds of a reply.
    pub fn holds(&self, answer: &Answer<'_>, scope: &mut Scope) -> bool {
        match self {
            Self::Status(ranges) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&answer.status))
            }
            Self::Header(name, matcher) => {
                headers(answer.head, name).any(|value| matcher.fits_text(value, scope))
            }
            Self::Body(matcher) => matcher.fits_text(answer.body, scope),
            Self::Json(query, matcher) => answer
                .json()
                .and_then(|json| query.find(json))
                .is_some_and(|value| matcher.fits_json(value, scope)),
            Self::Time(limit) => answer.time < *limit,
            Self::Not(inner) => !inner.holds(answer, scope),
            Self::All(inner) => inner.iter().all(|inner| inner.holds(answer, scope)),
        }
    }

    /// Whether the body is looked at.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        match self {
            Self::Body(_) | Self::Json(..) => true,
            Self::Not(inner) => inner.needs_body(),
            Self::All(inner) => inner.iter().any(Self::needs_body),
            Self::Status(_) | Self::Header(..) | Self::Time(_) => false,
        }
    }

    /// Whether headers are looked at.
    #[must_use]
    pub fn needs_head(&self) -> bool {
        match self {
            Self::Header(..) => true,
            Self::Not(inner) => inner.needs_head(),
            Self::All(inner) => inner.iter().any(Self::needs_head),
            Self::Status(_) | Self::Body(_) | Self::Json(..) | Self::Time(_) => false,
        }
    }

    /// Its templates, to be bound.
    pub fn templates_mut<'p>(&'p mut self, out: &mut Vec<&'p mut Template>) {
        match self {
            Self::Header(_, matcher) | Self::Body(matcher) | Self::Json(_, matcher) => {
                out.extend(matcher.template_mut());
            }
            Self::Not(inner) => inner.templates_mut(out),
            Self::All(inner) => inner.iter_mut().for_each(|inner| inner.templates_mut(out)),
            Self::Status(_) | Self::Time(_) => {}
        }
    }

    /// Its templates.
    pub fn templates<'p>(&'p self, out: &mut Vec<&'p Template>) {
        match self {
            Self::Header(_, matcher) | Self::Body(matcher) | Self::Json(_, matcher) => {
                out.extend(matcher.template());
            }
            Self::Not(inner) => inner.templates(out),
            Self::All(inner) => inner.iter().for_each(|inner| inner.templates(out)),
            Self::Status(_) | Self::Time(_) => {}
        }
    }
}

impl Matcher {
    fn template(&self) -> Option<&Template> {
        match self {
            Self::Is(template) | Self::Contains(template) => Some(template),
            _ => None,
        }
    }

    fn template_mut(&mut self) -> Option<&mut Template> {
        match self {
            Self::Is(template) | Self::Contains(template) => Some(template),
            _ => None,
        }
    }

    fn fits_text(&self, value: &[u8], scope: &mut Scope) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(template) => *rendered(template, scope) == *value,
            Self::Contains(template) => contains(value, &rendered(template, scope)),
            Self::Matches(pattern) => pattern.is_match(value),
            Self::Length(low, high) => (*low..=*high).contains(&(value.len() as u64)),
            _ => number(value).is_some_and(|number| self.fits_number(number)),
        }
    }

    fn fits_json(&self, value: &Value, scope: &mut Scope) -> bool {
        match (self, value) {
            (Self::Exists, _) => true,
            (Self::Length(low, high), Value::Array(items)) => {
                (*low..=*high).contains(&(items.len() as u64))
            }
            (Self::Contains(template), Value::Array(items)) => {
                let wanted = rendered(template, scope);
                items.iter().any(|item| text_of(item).as_bytes() == &*wanted)
            }
            (Self::Above(_) | Self::Below(_) | Self::AtLeast(_) | Self::AtMost(_), _) => {
                value.as_f64().is_some_and(|number| self.fits_number(number))
            }
            _ => self.fits_text(text_of(value).as_bytes(), scope),
        }
    }

    fn fits_number(&self, number: f64) -> bool {
        match self {
            Self::Above(bound) => number > *bound,
            Self::Below(bound) => number < *bound,
            Self::AtLeast(bound) => number >= *bound,
            Self::AtMost(bound) => number <= *bound,
            _ => false,
        }
    }
}

fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The text that a JSON value amounts to: a string's own, else the document's.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

fn rendered<'t>(template: &'t Template, scope: &mut Scope) -> Cow<'t, [u8]> {
    if let Some(text) = template.as_static() {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::new();
    template.render(&mut out, scope);
    Cow::Owned(out)
}

/// Whether bytes are found in others.
#[must_use]
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memmem::find(haystack, needle).is_some()
}

impl Query {
    /// Parses a JSONPath, which begins with `$`, or a JSON pointer; a plain name stands for a
    /// field of the top object.
    ///
    /// # Errors
    /// What is wrong with the JSONPath.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('$') {
            return JsonPath::parse(text).map(Self::Path);
        }
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self::Pointer(text.to_owned()));
        }
        Ok(Self::Pointer(format!("/{text}")))
    }

    /// The first value there.
    #[must_use]
    pub fn find<'v>(&self, json: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Pointer(pointer) => json.pointer(pointer),
            Self::Path(path) => path.find(json),
        }
    }

    /// As the user wrote it.
    #[must_use]
    pub fn written(&self) -> &str {
        match self {
            Self::Pointer(pointer) => pointer,
            Self::Path(path) => path.written(),
        }
    }

    /// Whether the value there equals a text or number.
    #[must_use]
    pub fn equals(&self, json: &Value, expected: &[u8]) -> bool {
        self.find(json).is_some_and(|value| text_of(value).as_bytes() == expected)
    }
}

impl Source {
    /// The text found in a reply.
    #[must_use]
    pub fn find(&self, answer: &Answer<'_>) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Json(query) => Some(text_of(query.find(answer.json()?)?).into_owned()),
            Self::Regex(pattern, group) => pattern.group(answer.body, *group).map(text),
            Self::Header(name) => headers(answer.head, name).next().map(text),
            Self::Cookie(name) => {
                let set = headers(answer.head, "set-cookie").filter_map(cookie_pair);
                let found = set.filter(|(known, ..)| *known == name.as_bytes()).last();
                found.map(|(_, value, _)| text(value)).or_else(|| (answer.jar)(name))
            }
            Self::Status => Some(answer.status.to_string()),
            Self::Body => Some(text(answer.body)),
        }
    }

    /// Whether the body is looked at.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Regex(..) | Self::Body)
    }

    /// Whether headers are looked at.
    #[must_use]
    pub fn needs_head(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Cookie(_))
    }

    /// In a few words, for those who read a plan.
    #[must_use]
    pub fn written(&self) -> String {
        match self {
            Self::Json(query) => query.written().to_owned(),
            Self::Regex(pattern, group) => format!("regex {} group {group}", pattern.written()),
            Self::Header(name) => format!("header {name}"),
            Self::Cookie(name) => format!("cookie {name}"),
            Self::Status => "status".to_owned(),
            Self::Body => "body".to_owned(),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
    }
}
