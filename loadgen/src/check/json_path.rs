//! JSONPath (RFC 9535) without functions: names, indices, wildcards, slices, descendants, and
//! filters that compare one place with one value. Pure.
//!
//! In: the text of a scenario, JSON documents. Out: the first value that a path leads to, in the
//! order of the document. Captures and checks want one value, so no list is ever built.

use serde_json::Value;

/// Segments of a path at most: no document is that deep (serde_json stops at 128).
const SEGMENTS_MAX: usize = 64;

/// A compiled path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    written: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
struct Segment {
    /// It applies to the value and to everything below it.
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Clone, Debug, PartialEq)]
enum Selector {
    Name(String),
    Index(i64),
    Wildcard,
    /// From, to and not including, both counted from the end when negative; every how many.
    Slice(Option<i64>, Option<i64>, usize),
    Filter(Filter),
}

/// `@.place == value`, or `@.place` alone for its being there.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    place: Vec<Segment>,
    test: Option<(Comparison, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl JsonPath {
    /// Compiles a path.
    ///
    /// # Errors
    /// What is wrong with it, with its cure.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: String| {
            format!("`{text}` is not a JSONPath: {why} (write `$.items[0].id` or `$..id`)")
        };
        let mut rest = Rest { text, at: 0 };
        if !rest.take("$") {
            return Err(bad("it does not begin with `$`".to_owned()));
        }
        let segments = rest.segments().map_err(&bad)?;
        if rest.at < text.len() {
            return Err(bad(format!("`{}` is not understood", &text[rest.at..])));
        }
        Ok(Self { written: text.to_owned(), segments })
    }

    /// As the user wrote it.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The first value it leads to.
    #[must_use]
    pub fn find<'v>(&self, json: &'v Value) -> Option<&'v Value> {
        first(json, &self.segments)
    }
}

/// What is left of a path's text.
struct Rest<'t> {
    text: &'t str,
    at: usize,
}

impl Rest<'_> {
    fn left(&self) -> &str {
        &self.text[self.at..]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.left().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn blanks(&mut self) {
        self.at += self.left().len() - self.left().trim_start_matches(' ').len();
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let left = self.left();
        let end = left.find(|letter| !wanted(letter)).unwrap_or(left.len());
        let found = left[..end].to_owned();
        self.at += end;
        found
    }

    fn segments(&mut self) -> Result<Vec<Segment>, String> {
        let mut segments = Vec::new();
        loop {
            let descends = self.take("..");
            let selectors = if self.take("[") {
                self.bracket()?
            } else if descends || self.take(".") {
                vec![self.dotted()?]
            } else {
                return Ok(segments);
            };
            if segments.len() >= SEGMENTS_MAX {
                return Err(format!("it has more than {SEGMENTS_MAX} segments"));
            }
            segments.push(Segment { descends, selectors });
        }
    }

    fn dotted(&mut self) -> Result<Selector, String> {
        if self.take("*") {
            return Ok(Selector::Wildcard);
        }
        let name = self.take_while(|letter| letter.is_alphanumeric() || "_-".contains(letter));
        if name.is_empty() { Err("a name is missing".to_owned()) } else { Ok(Selector::Name(name)) }
    }

    fn bracket(&mut self) -> Result<Vec<Selector>, String> {
        let mut selectors = Vec::new();
        loop {
            self.blanks();
            selectors.push(self.selector()?);
            self.blanks();
            if self.take("]") {
                return Ok(selectors);
            }
            if !self.take(",") {
                return Err("a `]` is missing".to_owned());
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, String> {
        if self.take("*") {
            return Ok(Selector::Wildcard);
        }
        if self.take("?") {
            return self.filter().map(Selector::Filter);
        }
        if self.left().starts_with(['\'', '"']) {
            return self.quoted().map(Selector::Name);
        }
        let from = self.whole()?;
        if !self.take(":") {
            return from.map(Selector::Index).ok_or_else(|| "an index is missing".to_owned());
        }
        let to = self.whole()?;
        let step = if self.take(":") { self.whole()?.unwrap_or(1) } else { 1 };
        let step = usize::try_from(step).ok().filter(|step| *step > 0);
        Ok(Selector::Slice(from, to, step.ok_or("a step must be above 0")?))
    }

    fn whole(&mut self) -> Result<Option<i64>, String> {
        let digits = self.take_while(|letter| letter.is_ascii_digit() || letter == '-');
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| format!("`{digits}` is not a whole number"))
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut letters = self.left().chars();
        let quote = letters.next().unwrap_or('\'');
        let mut out = String::new();
        let mut length = 1;
        while let Some(letter) = letters.next() {
            length += letter.len_utf8();
            if letter == quote {
                self.at += length;
                return Ok(out);
            }
            let plain = if letter == '\\' { letters.next() } else { None };
            length += plain.map_or(0, char::len_utf8);
            out.push(plain.unwrap_or(letter));
        }
        Err("a quote is not closed".to_owned())
    }

    fn filter(&mut self) -> Result<Filter, String> {
        self.blanks();
        let enclosed = self.take("(");
        self.blanks();
        if !self.take("@") {
            return Err("a filter begins with `@`".to_owned());
        }
        let place = self.segments()?;
        self.blanks();
        let operator = COMPARISONS.iter().find(|(token, _)| self.left().starts_with(token));
        let test = match operator {
            Some((token, comparison)) => {
                self.at += token.len();
                self.blanks();
                Some((*comparison, self.literal()?))
            }
            None => None,
        };
        self.blanks();
        if enclosed && !self.take(")") {
            return Err("a `)` is missing".to_owned());
        }
        Ok(Filter { place, test })
    }

    fn literal(&mut self) -> Result<Value, String> {
        if self.left().starts_with(['\'', '"']) {
            return self.quoted().map(Value::String);
        }
        let word = self.take_while(|letter| letter.is_alphanumeric() || "+-.".contains(letter));
        serde_json::from_str(&word).map_err(|_| format!("`{word}` is not a value"))
    }
}

fn first<'v>(value: &'v Value, segments: &[Segment]) -> Option<&'v Value> {
    let Some((segment, rest)) = segments.split_first() else { return Some(value) };
    let here = segment.selectors.iter().find_map(|selector| selected(value, selector, rest));
    if here.is_some() || !segment.descends {
        return here;
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| first(item, segments)),
        Value::Object(fields) => fields.values().find_map(|item| first(item, segments)),
        _ => None,
    }
}

fn selected<'v>(value: &'v Value, selector: &Selector, rest: &[Segment]) -> Option<&'v Value> {
    let children = || -> Box<dyn Iterator<Item = &'v Value> + 'v> {
        match value {
            Value::Array(items) => Box::new(items.iter()),
            Value::Object(fields) => Box::new(fields.values()),
            _ => Box::new(std::iter::empty()),
        }
    };
    match selector {
        Selector::Name(name) => first(value.as_object()?.get(name)?, rest),
        Selector::Index(index) => {
            let items = value.as_array()?;
            first(items.get(place(*index, items.len())?)?, rest)
        }
        Selector::Wildcard => children().find_map(|item| first(item, rest)),
        Selector::Slice(from, to, step) => {
            let items = value.as_array()?;
            let bound = |index: i64| match place(index, items.len()) {
                Some(place) => place.min(items.len()),
                None => 0,
            };
            let (from, to) = (from.map_or(0, bound), to.map_or(items.len(), bound));
            let chosen = items.get(from..to.max(from))?.iter().step_by(*step);
            chosen.into_iter().find_map(|item| first(item, rest))
        }
        Selector::Filter(filter) => {
            children().filter(|item| filter.passes(item)).find_map(|item| first(item, rest))
        }
    }
}

/// An index from the end counted from the start; none when it is before it.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(length as i64)? } else { index };
    usize::try_from(index).ok()
}

impl Filter {
    fn passes(&self, item: &Value) -> bool {
        let found = first(item, &self.place);
        let Some((comparison, wanted)) = &self.test else { return found.is_some() };
        let Some(found) = found else { return *comparison == Comparison::Unequal };
        let order = match (found, wanted) {
            (Value::Number(_), Value::Number(_)) => {
                let pair = found.as_f64().zip(wanted.as_f64());
                pair.and_then(|(found, wanted)| found.partial_cmp(&wanted))
            }
            (Value::String(found), Value::String(wanted)) => Some(found.cmp(wanted)),
            _ => (found == wanted).then_some(std::cmp::Ordering::Equal),
        };
        match comparison {
            Comparison::Equal => order.is_some_and(|order| order.is_eq()),
            Comparison::Unequal => !order.is_some_and(|order| order.is_eq()),
            Comparison::Less => order.is_some_and(|order| order.is_lt()),
            Comparison::LessOrEqual => order.is_some_and(|order| order.is_le()),
            Comparison::Greater => order.is_some_and(|order| order.is_gt()),
            Comparison::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_the_first_value_of_the_document() {
        let json = json!({
            "items": [
                {"id": 1, "name": "a", "price": 9.5},
                {"id": 2, "name": "b c", "price": 20, "tags": ["x", "y"]},
                {"id": 3, "name": "d"},
            ],
            "deep": {"er": {"id": 7}},
            "odd key": true,
            "it's": null,
        });
        let table = [
            ("$", Some(json.clone())),
            ("$.items[0].id", Some(json!(1))),
            ("$['items'][1]['name']", Some(json!("b c"))),
            ("$.items[-1].id", Some(json!(3))),
            ("$.items[-4].id", None),
            ("$.items[3]", None),
            ("$.items[*].tags[1]", Some(json!("y"))),
            ("$.items.*.name", Some(json!("a"))),
            ("$.items[1:].id", Some(json!(2))),
            ("$.items[:-1].tags", Some(json!(["x", "y"]))),
            ("$.items[1:9:2].id", Some(json!(2))),
            ("$.items[2:1]", None),
            ("$..tags[0]", Some(json!("x"))),
            ("$.deep..id", Some(json!(7))),
            ("$..price", Some(json!(9.5))),
            ("$.items[?(@.id == 2)].name", Some(json!("b c"))),
            ("$.items[?@.price > 10].id", Some(json!(2))),
            ("$.items[?@.price <= 9.5].id", Some(json!(1))),
            ("$.items[?(@.tags)].id", Some(json!(2))),
            ("$.items[?(@.name != 'a')].id", Some(json!(2))),
            ("$.items[?@.price != 9.5].id", Some(json!(2))),
            ("$.items[?@.name >= \"c\"].id", Some(json!(3))),
            ("$['odd key']", Some(json!(true))),
            ("$['it\\'s']", Some(json!(null))),
            ("$.items[5, 0].id", Some(json!(1))),
            ("$.none.at.all", None),
            ("$.deep[0]", None),
        ];
        for (text, expected) in table {
            let path = JsonPath::parse(text).unwrap_or_else(|what| panic!("{what}"));
            assert_eq!(path.find(&json), expected.as_ref(), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_says_why() {
        let table = [
            ("items", "does not begin with `$`"),
            ("$.", "a name is missing"),
            ("$[", "an index is missing"),
            ("$[0", "a `]` is missing"),
            ("$['a", "a quote is not closed"),
            ("$[::0]", "a step must be above 0"),
            ("$[1-1]", "`1-1` is not a whole number"),
            ("$ x", "` x` is not understood"),
            ("$[?(@.a == )]", "`` is not a value"),
            ("$[?(@.a == 1]", "a `)` is missing"),
            ("$[?a]", "a filter begins with `@`"),
        ];
        for (text, expected) in table {
            let found = JsonPath::parse(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
        let deep = format!("${}", ".a".repeat(SEGMENTS_MAX + 1));
        assert!(JsonPath::parse(&deep).is_err());
    }
}
