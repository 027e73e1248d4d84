//! One walk over a packet's JSON: whether it is JSON, what it is, which attachments it names.
//!
//! Comes in: text. Goes out: its shape. Nothing is built: values are read again by who wants
//! them. `serde_json` refuses what nests deeper than 128.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What a text is.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Shape<'a> {
    pub(super) kind: Kind,
    /// The name in an array, as it stands.
    pub(super) first: Option<&'a str>,
    /// The largest attachment that a placeholder names.
    pub(super) largest_placeholder: Option<u64>,
}

/// What stands outermost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Array,
    Object,
    String,
    Other,
}

/// Reads a text to its end. With `is_named`, the first element of an array is a name: it is handed
/// out and not looked into.
pub(super) fn inspect(text: &str, is_named: bool) -> Result<Shape<'_>, serde_json::Error> {
    let kind = match text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() {
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        Some(b'"') => Kind::String,
        _ => Kind::Other,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut walk = Walk { largest: None };
    let first = match kind {
        Kind::Array if is_named => reader.deserialize_seq(Named(&mut walk))?,
        _ => walk.deserialize(&mut reader).map(|_| None)?,
    };
    reader.end()?;
    Ok(Shape { kind, first, largest_placeholder: walk.largest })
}

/// Checks that the elements of an array, without its brackets, are JSON.
pub(super) fn inspect_items(items: &str) -> Result<Option<u64>, serde_json::Error> {
    inspect(&format!("[{items}]"), false).map(|shape| shape.largest_placeholder)
}

/// An outermost array with a name.
struct Named<'a>(&'a mut Walk);

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let first = array.next_element::<&RawValue>()?.map(RawValue::get);
        while array.next_element_seed(&mut *self.0)?.is_some() {}
        Ok(first)
    }
}

/// Everything below.
struct Walk {
    largest: Option<u64>,
}

/// What a placeholder is made of.
enum Seen {
    True,
    Number(u64),
    Other,
}

impl<'de> DeserializeSeed<'de> for &mut Walk {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Seen, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(if value { Seen::True } else { Seen::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Seen, A::Error> {
        while array.next_element_seed(&mut *self)?.is_some() {}
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Seen, A::Error> {
        let (mut is_placeholder, mut number) = (false, None);
        while let Some(key) = object.next_key_seed(KeySeed)? {
            match (key, object.next_value_seed(&mut *self)?) {
                (Key::Placeholder, Seen::True) => is_placeholder = true,
                (Key::Num, Seen::Number(num)) => number = Some(num),
                _ => {}
            }
        }
        if is_placeholder {
            // A placeholder without a number names no attachment that could be there.
            self.largest = self.largest.max(Some(number.unwrap_or(u64::MAX)));
        }
        Ok(Seen::Other)
    }
}

/// The keys of a placeholder, told from the rest without a copy.
enum Key {
    Placeholder,
    Num,
    Other,
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Key, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Num,
            _ => Key::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_told_by_its_shape() {
        for (text, kind, first, largest) in [
            (r#"["a",1]"#, Kind::Array, Some(r#""a""#), None),
            ("[]", Kind::Array, None, None),
            (r#"{"a":[null,true,-1,1.5]}"#, Kind::Object, None, None),
            (r#""x""#, Kind::String, None, None),
            ("12", Kind::Other, None, None),
            (
                r#"["a",[{"_placeholder":true,"num":3}],{"num":1,"_placeholder":true}]"#,
                Kind::Array,
                Some(r#""a""#),
                Some(3),
            ),
            (r#"[0,{"_placeholder":true}]"#, Kind::Array, Some("0"), Some(u64::MAX)),
            (r#"[0,{"_placeholder":false,"num":9}]"#, Kind::Array, Some("0"), None),
        ] {
            let shape = Shape { kind, first, largest_placeholder: largest };
            assert_eq!(inspect(text, true).unwrap(), shape, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        let deep = |depth: usize| format!("[0,{}{}]", "[".repeat(depth), "]".repeat(depth));
        assert!(inspect(&deep(120), false).is_ok());
        for text in ["", "[", "[1,]", "{} {}", "abc", "[0,01]", &deep(130), &"[".repeat(1 << 20)] {
            assert!(inspect(text, true).is_err(), "{}", &text[..text.len().min(20)]);
        }
        assert!(inspect_items("1,2").is_ok());
        assert!(inspect_items("").is_ok());
        assert!(inspect_items("1],[2").is_err());
    }
}
