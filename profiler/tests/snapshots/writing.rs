//! A writer of profile.proto for tests alone, so that the reader is not tested against its own
//! idea of the form. In: names, stacks and values. Out: the message, field by field.
//! It knows nothing of what the tests expect.

use flate2::{Compression, write::GzEncoder};
use std::collections::BTreeMap;
use std::io::Write;

/// A profile in the making.
#[derive(Clone, Default)]
pub(crate) struct Proto {
    strings: Vec<String>,
    body: Vec<u8>,
    functions: BTreeMap<(String, String), u64>,
}

/// The number in protobuf's variable form.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn number(tag: u64, value: u64, out: &mut Vec<u8>) {
    varint(tag << 3, out);
    varint(value, out);
}

pub(crate) fn bytes(tag: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(tag << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

impl Proto {
    /// With columns as `name/unit`, and the period of a heap profile (0 for none).
    pub(crate) fn new(columns: &[&str], period: u64) -> Self {
        let mut proto = Self { strings: vec![String::new()], ..Self::default() };
        for column in columns {
            let message = proto.value_type(column);
            bytes(1, &message, &mut proto.body);
        }
        if period > 0 {
            let message = proto.value_type("space/bytes");
            bytes(11, &message, &mut proto.body);
            number(12, period, &mut proto.body);
        }
        proto
    }

    /// With the four columns of a heap profile.
    pub(crate) fn heap(period: u64) -> Self {
        let columns = [
            "alloc_objects/count",
            "alloc_space/bytes",
            "inuse_objects/count",
            "inuse_space/bytes",
        ];
        Self::new(&columns, period)
    }

    fn value_type(&mut self, column: &str) -> Vec<u8> {
        let (name, unit) = column.split_once('/').unwrap();
        let (name, unit) = (self.string(name), self.string(unit));
        let mut message = Vec::new();
        number(1, name, &mut message);
        number(2, unit, &mut message);
        message
    }

    pub(crate) fn string(&mut self, text: &str) -> u64 {
        let found = self.strings.iter().position(|known| known == text);
        found.unwrap_or_else(|| {
            self.strings.push(text.to_owned());
            self.strings.len() - 1
        }) as u64
    }

    pub(crate) fn mapping(&mut self, id: u64, range: (u64, u64), offset: u64, file: (&str, &str)) {
        let (name, build_id) = (self.string(file.0), self.string(file.1));
        let mut message = Vec::new();
        for (tag, value) in [(1, id), (2, range.0), (3, range.1), (4, offset), (5, name)] {
            number(tag, value, &mut message);
        }
        number(6, build_id, &mut message);
        bytes(3, &message, &mut self.body);
    }

    /// A location with `(function, file, line)` for each of its frames, the innermost first.
    pub(crate) fn location(&mut self, id: u64, address: u64, lines: &[(&str, &str, u64)]) {
        let mut message = Vec::new();
        number(1, id, &mut message);
        number(2, 1, &mut message);
        number(3, address, &mut message);
        for (function, file, line) in lines {
            let mut entry = Vec::new();
            number(1, self.function(function, file), &mut entry);
            number(2, *line, &mut entry);
            bytes(4, &entry, &mut message);
        }
        bytes(4, &message, &mut self.body);
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let key = (name.to_owned(), file.to_owned());
        if let Some(id) = self.functions.get(&key) {
            return *id;
        }
        let id = self.functions.len() as u64 + 1;
        let (name, file) = (self.string(name), self.string(file));
        let mut message = Vec::new();
        for (tag, value) in [(1, id), (2, name), (4, file)] {
            number(tag, value, &mut message);
        }
        bytes(5, &message, &mut self.body);
        self.functions.insert(key, id);
        id
    }

    pub(crate) fn sample(&mut self, locations: &[u64], values: &[i64], labels: &[(&str, u64)]) {
        let mut message = Vec::new();
        let mut packed = Vec::new();
        locations.iter().for_each(|id| varint(*id, &mut packed));
        bytes(1, &packed, &mut message);
        packed.clear();
        values.iter().for_each(|value| varint(value.cast_unsigned(), &mut packed));
        bytes(2, &packed, &mut message);
        for (key, value) in labels {
            let mut label = Vec::new();
            number(1, self.string(key), &mut label);
            number(3, *value, &mut label);
            bytes(3, &label, &mut message);
        }
        bytes(2, &message, &mut self.body);
    }

    pub(crate) fn comment(&mut self, text: &str) {
        let index = self.string(text);
        number(13, index, &mut self.body);
    }

    /// Anything, as it is.
    pub(crate) fn raw(&mut self, field: &[u8]) {
        self.body.extend_from_slice(field);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.body.clone();
        self.strings.iter().for_each(|text| bytes(6, text.as_bytes(), &mut out));
        out
    }

    pub(crate) fn gzip(&self) -> Vec<u8> {
        gzip(&self.bytes())
    }
}

pub(crate) fn gzip(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

/// SplitMix64: the same numbers in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
