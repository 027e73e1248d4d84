//! Values for parameters and bodies: the document's own examples first, then defaults, then what
//! the schema lets through. Pure.
//!
//! In: a parameter, a media type or a schema. Out: a JSON value whose strings are templates: an
//! identifier is a new one each time.

use crate::import::{literal, literal_json};
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};

/// How deep schemas are followed: one that refers to itself has no end.
const DEPTH_MAX: usize = 8;

/// How many references in a row are followed.
const REFERENCES_MAX: usize = 16;

/// Items made for an array at most.
const ITEMS_MAX: u64 = 10;

/// Values made for one parameter or body at most: schemas within schemas multiply.
const VALUES_MAX: usize = 2_000;

/// Finds and makes values within one document.
pub(super) struct Examples<'d> {
    document: &'d Value,
    /// References that are being followed, outermost first.
    open: RefCell<Vec<String>>,
    /// Values that may still be made.
    left: Cell<usize>,
}

impl<'d> Examples<'d> {
    pub(super) fn new(document: &'d Value) -> Self {
        Self { document, open: RefCell::default(), left: Cell::new(VALUES_MAX) }
    }

    pub(super) fn document(&self) -> &'d Value {
        self.document
    }

    /// What a value refers to, if it is a reference within the document; else itself.
    pub(super) fn resolved<'v>(&self, value: &'v Value) -> &'v Value
    where
        'd: 'v,
    {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let reference = value.get("$ref").and_then(Value::as_str);
            let Some(pointer) = reference.and_then(|reference| reference.strip_prefix('#')) else {
                return value;
            };
            let Some(found) = self.document.pointer(pointer) else { return value };
            value = found;
        }
        value
    }

    /// A value for what has `example`, `examples` or `schema`: a parameter or a media type.
    pub(super) fn of(&self, holder: &Value) -> Option<Value> {
        let named = holder.get("examples").and_then(Value::as_object);
        let first = named.and_then(|named| named.values().next());
        let first = first.and_then(|example| self.resolved(example).get("value"));
        if let Some(told) = holder.get("example").or(first) {
            return Some(literal_json(told));
        }
        self.left.set(VALUES_MAX);
        holder.get("schema").map(|schema| self.by_schema(schema, 0))
    }

    fn by_schema(&self, schema: &Value, depth: usize) -> Value {
        let Some(left) = self.left.get().checked_sub(1) else { return Value::Null };
        self.left.set(left);
        let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or_default();
        if self.open.borrow().iter().any(|open| open == reference) {
            // It refers to itself: once is enough.
            return Value::Null;
        }
        if reference.is_empty() {
            return self.made(schema, depth);
        }
        self.open.borrow_mut().push(reference.to_owned());
        let value = self.made(self.resolved(schema), depth);
        self.open.borrow_mut().pop();
        value
    }

    fn made(&self, schema: &Value, depth: usize) -> Value {
        let told = schema
            .get("example")
            .or_else(|| schema.pointer("/examples/0"))
            .or_else(|| schema.get("default"))
            .or_else(|| schema.get("const"))
            .or_else(|| schema.pointer("/enum/0"));
        if let Some(told) = told {
            return literal_json(told);
        }
        if depth >= DEPTH_MAX {
            return Value::Null;
        }
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            return self.merged(all, schema, depth);
        }
        for one in ["oneOf", "anyOf"] {
            if let Some(first) = schema.get(one).and_then(|choices| choices.get(0)) {
                return self.by_schema(first, depth + 1);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => {
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
                let item = schema.get("items").map(|items| self.by_schema(items, depth + 1));
                let item = item.unwrap_or(Value::Null);
                // Copies count as well: arrays within arrays multiply.
                let size = size(&item);
                let count = (least.clamp(1, ITEMS_MAX) as usize).min(1 + self.left.get() / size);
                self.left.set(self.left.get().saturating_sub((count - 1) * size));
                Value::Array(vec![item; count])
            }
            "integer" => Value::from(least(schema).unwrap_or(1.0).ceil() as i64),
            "number" => Value::from(least(schema).unwrap_or(1.5)),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::from(text(schema)),
        }
    }

    /// All properties that a client may send.
    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut fields = Map::new();
        for (name, property) in properties.into_iter().flatten() {
            let is_read_only =
                self.resolved(property).get("readOnly").and_then(Value::as_bool).unwrap_or(false);
            if !is_read_only {
                let value = self.by_schema(property, depth + 1);
                if !value.is_null() {
                    fields.insert(name.clone(), value);
                }
            }
        }
        Value::Object(fields)
    }

    fn merged(&self, all: &[Value], schema: &Value, depth: usize) -> Value {
        let mut fields = Map::new();
        for part in all {
            match self.by_schema(part, depth + 1) {
                Value::Object(more) => fields.extend(more),
                // Of a scalar the parts are conditions, and the first says its type.
                scalar if fields.is_empty() && !scalar.is_null() => return scalar,
                _ => {}
            }
        }
        if let Value::Object(more) = self.object(schema, depth) {
            fields.extend(more);
        }
        Value::Object(fields)
    }
}

/// The values within a value, itself among them.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 0,
    }
}

/// The type of a schema; 3.1 has lists of types, in which null says nothing.
fn kind(schema: &Value) -> &str {
    let of = |value: &'_ Value| -> Option<String> { value.as_str().map(str::to_owned) };
    let listed = schema.get("type").map(|kind| match kind {
        Value::Array(kinds) => kinds.iter().filter_map(of).find(|kind| kind != "null"),
        kind => of(kind),
    });
    match listed.flatten().as_deref() {
        Some("object") => "object",
        Some("array") => "array",
        Some("integer") => "integer",
        Some("number") => "number",
        Some("boolean") => "boolean",
        Some("null") => "null",
        Some(_) => "string",
        None if schema.get("properties").is_some() => "object",
        None if schema.get("items").is_some() => "array",
        None => "string",
    }
}

/// The least number that a schema lets through, if it says one.
fn least(schema: &Value) -> Option<f64> {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    // 3.0 has a flag where 3.1 has a number.
    let exclusive = schema.get("exclusiveMinimum").and_then(Value::as_bool) == Some(true);
    match (number("exclusiveMinimum"), number("minimum"), number("maximum")) {
        (Some(bound), ..) => Some(bound + 1.0),
        (None, Some(bound), _) if exclusive => Some(bound + 1.0),
        (None, Some(bound), _) => Some(bound),
        (None, None, Some(bound)) if bound < 1.0 => Some(bound),
        _ => None,
    }
}

/// A string that a schema lets through, patterns aside.
fn text(schema: &Value) -> String {
    let word = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
        "uuid" => return "${uuid}".to_owned(),
        "date-time" => return "2026-01-01T00:00:00Z".to_owned(),
        "date" => return "2026-01-01".to_owned(),
        "time" => return "12:00:00Z".to_owned(),
        "duration" => return "PT1M".to_owned(),
        "email" => return "user${vu}@example.org".to_owned(),
        "uri" | "url" | "uri-reference" => return "https://example.org/".to_owned(),
        "hostname" => return "example.org".to_owned(),
        "ipv4" => return "192.0.2.1".to_owned(),
        "ipv6" => return "2001:db8::1".to_owned(),
        "byte" => return "ZWJidGlkZQ==".to_owned(),
        "password" => return "${env.PASSWORD}".to_owned(),
        _ => "text",
    };
    let length = |key: &str| schema.get(key).and_then(Value::as_u64).map(|length| length as usize);
    let most = length("maxLength").unwrap_or(usize::MAX);
    // Long enough, and no longer than a line of a scenario should be.
    let least = length("minLength").unwrap_or(0).min(1_000);
    literal(&word.chars().cycle().take(least.max(word.len()).min(most)).collect::<String>())
}
