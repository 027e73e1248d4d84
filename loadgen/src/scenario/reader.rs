//! A TOML document read with its places: every value asked for by key, every fault noted with
//! its line and path, every key nobody asked for a fault. Pure.
//!
//! In: the text. Out: [`Node`]s and [`Fields`], and the faults. What keys mean is left to the
//! other files of this folder.

use super::units;
use super::{Span, Template, WantedFile};
use crate::fault::{Fault, Faults, did_you_mean};
use crate::template::Escape;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Steps that used lists may come to: lists within lists multiply.
pub(crate) const USED_MAX: usize = 100_000;

/// The faults of a document, gathered while it is read.
pub(crate) struct Reader<'t> {
    text: &'t str,
    /// Where each line begins: every step asks for its line.
    lines: Vec<usize>,
    file: &'t str,
    faults: RefCell<Vec<Fault>>,
    /// Steps read as parts of used lists.
    used: Cell<usize>,
    files: RefCell<BTreeMap<String, WantedFile>>,
    /// Every key asked for, with the path of its table.
    asked: RefCell<BTreeSet<(String, &'static str)>>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str, file: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            text,
            lines: std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect(),
            file,
            faults: RefCell::default(),
            used: Cell::new(0),
            files: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Takes note of steps of a used list; false once there are too many.
    pub(crate) fn has_room(&self, steps: usize) -> bool {
        self.used.set(self.used.get() + steps);
        self.used.get() <= USED_MAX
    }

    /// Every key asked for, with the path of its table.
    pub(crate) fn into_asked(self) -> BTreeSet<(String, &'static str)> {
        self.asked.into_inner()
    }

    /// Column of a byte offset in characters, from 1.
    fn column(&self, offset: usize) -> usize {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default().chars().count() + 1
    }

    /// Line of a byte offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= offset.min(self.text.len()))
    }

    pub(crate) fn fault(&self, offset: usize, path: &str, what: impl Into<String>) {
        self.note((self.line(offset), self.column(offset)), path, what.into());
    }

    pub(crate) fn fault_at_line(&self, line: usize, path: &str, what: impl Into<String>) {
        self.note((line, 0), path, what.into());
    }

    fn note(&self, (line, column): (usize, usize), path: &str, what: String) {
        let (file, path) = (self.file.to_owned(), path.to_owned());
        self.faults.borrow_mut().push(Fault { file, line, column, path, what });
    }

    /// The files that the document names.
    pub(crate) fn take_files(&self) -> BTreeMap<String, WantedFile> {
        self.files.take()
    }

    pub(crate) fn into_faults(self) -> Option<Faults> {
        let mut list = self.faults.into_inner();
        list.sort_by_key(|fault| fault.line);
        // Steps that are used in several places are read as often.
        let mut seen = Vec::new();
        list.retain(|fault| {
            !seen.contains(fault) && {
                seen.push(fault.clone());
                true
            }
        });
        if list.is_empty() { None } else { Some(Faults { list }) }
    }
}

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Node<'a, 't> {
    pub(crate) reader: &'a Reader<'t>,
    pub(crate) path: String,
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) span: Range<usize>,
}

/// A table of which every key must be asked for.
pub(crate) struct Fields<'a, 't> {
    pub(crate) reader: &'a Reader<'t>,
    pub(crate) path: String,
    pub(crate) offset: usize,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a, 't> Fields<'a, 't> {
    pub(crate) fn root(reader: &'a Reader<'t>, table: &'a DeTable<'a>) -> Self {
        Self { reader, path: String::new(), offset: 0, table, asked: RefCell::default() }
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, if it is there.
    pub(crate) fn opt(&self, key: &'static str) -> Option<Node<'a, 't>> {
        self.asked.borrow_mut().push(key);
        self.reader.asked.borrow_mut().insert((self.path.clone(), key));
        self.entries_raw().find(|(name, _)| *name == key).map(|(_, value)| self.node(key, value))
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &'static str, example: &str) -> Option<Node<'a, 't>> {
        let node = self.opt(key);
        if node.is_none() {
            self.fault(format!("`{key}` is missing (write `{example}`)"));
        }
        node
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries_raw().any(|(name, _)| name == key)
    }

    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.reader.fault(self.offset, &self.path, what);
    }

    fn entries_raw(
        &self,
    ) -> impl Iterator<Item = (&'a str, &'a Spanned<DeValue<'a>>)> + use<'a, 't> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), value))
    }

    fn node(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Node<'a, 't> {
        Node {
            reader: self.reader,
            path: self.join(key),
            value: value.get_ref(),
            span: value.span(),
        }
    }

    /// All entries in the order of the file, for tables whose keys are the user's own.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Node<'a, 't>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| (key.span().start, key.get_ref().as_ref(), value))
            .collect();
        entries.sort_by_key(|(start, ..)| *start);
        entries.into_iter().map(|(_, key, value)| (key, self.node(key, value))).collect()
    }

    /// Notes every key that was not asked for.
    pub(crate) fn finish(self) {
        self.finish_but(&[]);
    }

    /// Notes every key that was neither asked for nor is one of the user's own names.
    pub(crate) fn finish_but(self, own: &[&str]) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if !asked.contains(&name) && !own.contains(&name) {
                let hint = did_you_mean(name, asked.iter().copied());
                let hint =
                    if hint.is_empty() { format!(" (known: {})", quoted(&asked)) } else { hint };
                let what = format!("unknown key `{name}`{hint}");
                self.reader.fault(key.span().start, &self.path, what);
            }
        }
    }
}

fn quoted(names: &[&str]) -> String {
    let mut names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.dedup();
    names.join(", ")
}

impl<'a, 't> Node<'a, 't> {
    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.reader.fault(self.span.start, &self.path, what);
    }

    fn wrong<T>(&self, expected: &str) -> Option<T> {
        self.fault(format!("expected {expected}, found {}", type_words(self.value)));
        None
    }

    pub(crate) fn line(&self) -> usize {
        self.reader.line(self.span.start)
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.wrong("a string"))
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong("`true` or `false`"))
    }

    /// A whole number of at least `low` and at most `high`.
    pub(crate) fn whole(&self, low: u64, high: u64) -> Option<u64> {
        let Some(number) = self.value.as_integer() else {
            return self.wrong("a whole number");
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) if (low..=high).contains(&value) => Some(value),
            _ => {
                self.fault(format!("`{number}` is not between {low} and {high}"));
                None
            }
        }
    }

    pub(crate) fn count(&self, low: u32) -> Option<u32> {
        self.whole(u64::from(low), u64::from(u32::MAX)).map(|value| value as u32)
    }

    /// A number that is finite and not negative.
    pub(crate) fn number(&self) -> Option<f64> {
        let value = match self.value {
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => return self.wrong("a number"),
        };
        match value {
            Some(value) if value.is_finite() && value >= 0.0 => Some(value),
            _ => {
                self.fault("expected a number that is finite and not negative");
                None
            }
        }
    }

    /// A number that is finite.
    pub(crate) fn signed(&self) -> Option<f64> {
        let text = match self.value {
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return self.wrong("a number"),
        };
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        value.or_else(|| self.wrong("a number that is finite"))
    }

    /// Says that the bytes of a file are wanted, by its path from the scenario's folder.
    pub(crate) fn want_file(&self, path: &str) {
        let mut files = self.reader.files.borrow_mut();
        files.entry(path.to_owned()).or_insert_with(|| WantedFile {
            line: self.line(),
            place: self.path.clone(),
            bytes: None,
        });
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.unit("a duration like `\"30s\"`", units::duration)
    }

    pub(crate) fn span_of_time(&self) -> Option<Span> {
        self.unit("a duration like `\"1s\"` or a range like `\"1s..3s\"`", units::span)
    }

    /// Bytes, as `"64KiB"` or a whole number.
    pub(crate) fn size(&self) -> Option<u64> {
        if self.value.is_integer() {
            return self.whole(0, u64::MAX);
        }
        self.unit("a size like `\"64KiB\"`", units::size)
    }

    /// A table of strings and numbers as text.
    pub(crate) fn plain_table(&self) -> Vec<(String, String)> {
        let Some(fields) = self.fields() else { return Vec::new() };
        let entries = fields.entries().into_iter();
        entries.filter_map(|(name, node)| Some((name.to_owned(), node.plain()?))).collect()
    }

    fn unit<T>(&self, expected: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let Some(text) = self.value.as_str() else {
            return self.wrong(expected);
        };
        parse(text).map_err(|what| self.fault(what)).ok()
    }

    pub(crate) fn fields(&self) -> Option<Fields<'a, 't>> {
        let Some(table) = self.value.as_table() else {
            return self.wrong("a table");
        };
        Some(Fields {
            reader: self.reader,
            path: self.path.clone(),
            offset: self.span.start,
            table,
            asked: RefCell::default(),
        })
    }

    pub(crate) fn items(&self) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else {
            return self.wrong("an array");
        };
        let items = array.iter().enumerate().map(|(index, item)| Node {
            reader: self.reader,
            path: format!("{}[{index}]", self.path),
            value: item.get_ref(),
            span: item.span(),
        });
        Some(items.collect())
    }

    /// A string, number or flag as text.
    pub(crate) fn plain(&self) -> Option<String> {
        Some(match self.value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            _ => return self.wrong("a string or a number"),
        })
    }

    /// A string, or all strings of an array.
    pub(crate) fn texts(&self) -> Option<Vec<String>> {
        if let Some(text) = self.value.as_str() {
            return Some(vec![text.to_owned()]);
        }
        self.items()?.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// A string, number or flag as a template.
    pub(crate) fn template(&self, escape: Escape) -> Option<Template> {
        let text = self.plain()?;
        Template::compile(&text, escape).map_err(|what| self.fault(what)).ok()
    }

    /// A table of strings as templates, in the order of the file.
    pub(crate) fn templates(&self, escape: Escape) -> Vec<(String, Template)> {
        let Some(fields) = self.fields() else { return Vec::new() };
        let entries = fields.entries();
        entries
            .into_iter()
            .filter_map(|(key, node)| Some((key.to_owned(), node.template(escape)?)))
            .collect()
    }

    /// Any value as the text of a JSON document, with templates in its strings.
    pub(crate) fn json(&self) -> Option<Template> {
        let mut out = Template::default();
        self.push_json(&mut out)?;
        Some(out)
    }

    fn push_json(&self, out: &mut Template) -> Option<()> {
        match self.value {
            DeValue::String(text) => {
                out.push_text("\"");
                out.push(json_text(text).map_err(|what| self.fault(what)).ok()?);
                out.push_text("\"");
            }
            DeValue::Integer(_) | DeValue::Float(_) => {
                let text = match self.value {
                    DeValue::Integer(number) => number.as_str(),
                    DeValue::Float(number) => number.as_str(),
                    _ => "",
                };
                if text.contains("inf") || text.contains("nan") {
                    return self.wrong("a number that JSON has");
                }
                out.push_text(text.trim_start_matches('+'));
            }
            DeValue::Boolean(flag) => out.push_text(if *flag { "true" } else { "false" }),
            DeValue::Datetime(time) => out.push_text(&format!("\"{time}\"")),
            DeValue::Array(_) => {
                out.push_text("[");
                for (index, item) in self.items()?.iter().enumerate() {
                    out.push_text(if index == 0 { "" } else { "," });
                    item.push_json(out)?;
                }
                out.push_text("]");
            }
            DeValue::Table(_) => {
                out.push_text("{");
                for (index, (key, node)) in self.fields()?.entries().into_iter().enumerate() {
                    out.push_text(if index == 0 { "\"" } else { ",\"" });
                    out.push_text(&escape_json(key));
                    out.push_text("\":");
                    node.push_json(out)?;
                }
                out.push_text("}");
            }
        }
        Some(())
    }
}

fn escape_json(text: &str) -> String {
    let mut out = Vec::new();
    crate::template::write_escaped(&mut out, text, Escape::Json);
    String::from_utf8_lossy(&out).into_owned()
}

/// The text of a JSON string: what stands around variables is escaped here, their values later.
fn json_text(text: &str) -> Result<Template, String> {
    Template::compile(&escape_outside(text), Escape::Json)
}

fn escape_outside(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&escape_json(&rest[..start]));
        if rest[..start].ends_with('$') {
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        let end = rest[start..].find('}').map_or(rest.len(), |end| start + end + 1);
        out.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    out.push_str(&escape_json(rest));
    out
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
