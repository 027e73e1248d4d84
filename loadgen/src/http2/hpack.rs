//! Header compression (RFC 7541): a decoder with its dynamic table, and an encoder that needs none.
//!
//! In: header blocks of a peer; names and values of our own. Out: fields, each with what its name
//! stands for; blocks that are the same on every connection, so that they are made once. What the
//! fields mean for a reply is left to the stream.

use super::huffman;
use std::collections::VecDeque;

/// Size of the dynamic table that the peer may use, as the RFC counts it: the default.
const TABLE_MAX: usize = 4_096;

/// What the RFC adds to the size of each entry (section 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// What a field's name stands for, and whether a reply may have it (RFC 9113, section 8.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// `:status`.
    Status,
    /// `content-length`.
    Length,
    /// Any field without a meaning of its own here.
    Plain,
    /// What no reply may have: other pseudo fields, those of one HTTP/1.1 connection, names in
    /// capitals, control characters.
    Bad,
}

/// A field of a header block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// Name, in small letters unless bad.
    pub name: &'a [u8],
    /// Value.
    pub value: &'a [u8],
    /// What the name stands for.
    pub class: Class,
}

/// A block that cannot be decoded; the connection is over, as the table is unknown from then on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Broken;

/// Fields that both sides know (appendix A), from 1.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// An entry of the dynamic table: name and value in one piece of memory, which is used again.
#[derive(Clone, Debug)]
struct Entry {
    bytes: Vec<u8>,
    name: usize,
    class: Class,
}

impl Entry {
    fn field(&self) -> Field<'_> {
        let (name, value) = self.bytes.split_at(self.name);
        Field { name, value, class: self.class }
    }
}

/// Decodes the header blocks of one connection, in their order.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The newest entry first.
    table: VecDeque<Entry>,
    /// Memory of entries that were put out.
    spare: Vec<Vec<u8>>,
    size: usize,
    /// The peer uses less of the table than it may.
    limit: Option<usize>,
    scratch: Vec<u8>,
}

/// Bytes of a block that are yet to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// A number whose first byte has `bits` bits of it (section 5.1).
    #[inline]
    fn number(&mut self, bits: u32) -> Result<usize, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken)?;
        self.0 = rest;
        let mask = (1_usize << bits) - 1;
        let low = usize::from(*first) & mask;
        if low < mask {
            return Ok(low);
        }
        let mut value = mask;
        // Four more bytes hold more than any block has.
        for shift in [0, 7, 14, 21] {
            let (next, rest) = self.0.split_first().ok_or(Broken)?;
            self.0 = rest;
            value += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    /// A string, appended to `out`.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let coded = self.0.first().ok_or(Broken)? & 0x80 != 0;
        let length = self.number(7)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        if !coded {
            out.extend_from_slice(bytes);
        } else if !huffman::decode(bytes, out) {
            return Err(Broken);
        }
        Ok(())
    }
}

impl Decoder {
    /// Decodes a whole block and shows each field.
    ///
    /// # Errors
    /// When the block breaks the rules of the compression.
    #[inline]
    pub fn decode(&mut self, block: &[u8], mut show: impl FnMut(Field<'_>)) -> Result<(), Broken> {
        let mut rest = Rest(block);
        let mut begun = false;
        while let Some(first) = rest.0.first() {
            match first {
                0x80.. => {
                    let index = rest.number(7)?;
                    show(self.field(index)?);
                }
                0x40.. => {
                    let index = rest.number(6)?;
                    let mut bytes = self.spare.pop().unwrap_or_default();
                    let entry = self.literal(&mut rest, index, &mut bytes);
                    let (name, class) = entry?;
                    let entry = Entry { bytes, name, class };
                    show(entry.field());
                    self.insert(entry);
                }
                0x20.. => {
                    let limit = rest.number(5)?;
                    // A change of size comes before all fields and within what we allow.
                    if begun || limit > TABLE_MAX {
                        return Err(Broken);
                    }
                    self.limit = Some(limit);
                    self.evict(limit);
                    continue;
                }
                _ => {
                    let index = rest.number(4)?;
                    let mut bytes = std::mem::take(&mut self.scratch);
                    let entry = self.literal(&mut rest, index, &mut bytes);
                    if let Ok((name, class)) = entry {
                        let (name, value) = bytes.split_at(name);
                        show(Field { name, value, class });
                    }
                    self.scratch = bytes;
                    entry?;
                }
            }
            begun = true;
        }
        Ok(())
    }

    #[inline]
    fn field(&self, index: usize) -> Result<Field<'_>, Broken> {
        match index.checked_sub(STATIC.len() + 1) {
            Some(place) => self.table.get(place).map(Entry::field).ok_or(Broken),
            None => {
                let (name, value) = *STATIC.get(index.wrapping_sub(1)).ok_or(Broken)?;
                let class = match index {
                    8..=14 => Class::Status,
                    28 => Class::Length,
                    ..=7 | 57 => Class::Bad,
                    _ => Class::Plain,
                };
                Ok(Field { name: name.as_bytes(), value: value.as_bytes(), class })
            }
        }
    }

    /// Name and value of a literal into `bytes`; where the value begins, and its class.
    fn literal(
        &self,
        rest: &mut Rest<'_>,
        index: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(usize, Class), Broken> {
        bytes.clear();
        let known = if index == 0 {
            rest.string(bytes)?;
            None
        } else {
            let field = self.field(index)?;
            bytes.extend_from_slice(field.name);
            Some(field.name)
        };
        let name = bytes.len();
        rest.string(bytes)?;
        debug_assert!(known.is_none_or(|known| known.len() == name));
        Ok((name, classify(&bytes[..name], &bytes[name..])))
    }

    fn insert(&mut self, entry: Entry) {
        let limit = self.limit.unwrap_or(TABLE_MAX);
        let size = entry.bytes.len() + ENTRY_OVERHEAD;
        self.evict(limit.saturating_sub(size));
        // An entry larger than the table empties it and is not kept (section 4.4).
        if size <= limit {
            self.size += size;
            self.table.push_front(entry);
        }
    }

    fn evict(&mut self, limit: usize) {
        while self.size > limit
            && let Some(entry) = self.table.pop_back()
        {
            self.size -= entry.bytes.len() + ENTRY_OVERHEAD;
            self.spare.push(entry.bytes);
        }
        // Entries have at least their overhead, so that the memory kept is bounded as well.
        self.spare.truncate(TABLE_MAX / ENTRY_OVERHEAD);
    }
}

fn classify(name: &[u8], value: &[u8]) -> Class {
    let name_is_bad = name.is_empty()
        || name.iter().any(|byte| matches!(byte, 0..=0x20 | b'A'..=b'Z' | 0x7f..))
        || name[1..].contains(&b':');
    let value_is_bad = value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
        || value.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'))
        || value.last().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    if name_is_bad || value_is_bad {
        return Class::Bad;
    }
    match name {
        b":status" => Class::Status,
        b"content-length" => Class::Length,
        [b':', ..] => Class::Bad,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Class::Bad
        }
        _ => Class::Plain,
    }
}

/// Appends a field of a request. Nothing is put into the peer's table, so that the bytes mean the
/// same on every connection; what is secret is marked as never to be indexed.
pub fn encode(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let whole = STATIC.iter().position(|(known, text)| {
        known.as_bytes() == name && text.as_bytes() == value && !text.is_empty()
    });
    if let Some(place) = whole {
        return number(out, 0x80, 7, place + 1);
    }
    let secret = matches!(name, b"authorization" | b"cookie" | b"proxy-authorization");
    let first = if secret { 0x10 } else { 0 };
    let known = STATIC.iter().position(|(known, _)| known.as_bytes() == name);
    number(out, first, 4, known.map_or(0, |place| place + 1));
    if known.is_none() {
        number(out, 0, 7, name.len());
        out.extend_from_slice(name);
    }
    number(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

fn number(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let mask = (1_usize << bits) - 1;
    if value < mask {
        out.push(first | value as u8);
        return;
    }
    out.push(first | mask as u8);
    let mut left = value - mask;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Broken> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoder
            .decode(block, |field| fields.push((text(field.name), text(field.value))))
            .map(|()| fields)
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// From RFC 7541, appendix C.6: three replies, with evictions at a size of 256.
    #[test]
    fn what_the_rfc_gives_as_examples_is_read() {
        let mut decoder = Decoder::default();
        let first = "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 \
                     66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        let location = ("location".to_owned(), "https://www.example.com".to_owned());
        let fields = decoded(&mut decoder, &hex(first)).unwrap();
        assert_eq!(fields[0], (":status".to_owned(), "302".to_owned()));
        assert_eq!(fields[1], ("cache-control".to_owned(), "private".to_owned()));
        assert_eq!(fields[2].1, "Mon, 21 Oct 2013 20:13:21 GMT");
        assert_eq!(fields[3], location);
        let fields = decoded(&mut decoder, &hex("4883 640e ffc1 c0bf")).unwrap();
        assert_eq!(fields[0].1, "307");
        assert_eq!(fields[3], location);
        let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b \
                     d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 \
                     0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        let fields = decoded(&mut decoder, &hex(third)).unwrap();
        assert_eq!(fields[0].1, "200");
        assert_eq!(fields[2].1, "Mon, 21 Oct 2013 20:13:22 GMT");
        assert_eq!(fields[4].1, "gzip");
        assert_eq!(fields[5].1, "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
        assert_eq!(decoder.size, 215);
        assert_eq!(decoder.table.len(), 3);
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in [
            "80",           // index 0
            "be",           // an entry that is not there
            "ff8080808080", // a number without end
            "40",           // a literal cut off
            "0005 6162",    // a string cut off
            "3fe21f",       // a table of 4,097
            "88 20",        // a change of size behind a field
            "0081ff 00",    // a string coded badly
        ] {
            assert_eq!(decoded(&mut Decoder::default(), &hex(block)), Err(Broken), "{block}");
        }
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut decoder = Decoder::default();
        assert!(decoded(&mut decoder, &hex("4001610162 be")).unwrap().len() == 2);
        // A value of 5,000 bytes, its length as 7 bits and two more bytes.
        let mut block = hex("40 01 61 7f 89 26");
        block.extend(std::iter::repeat_n(b'x', 5_000));
        assert_eq!(decoded(&mut decoder, &block).unwrap()[0].1.len(), 5_000);
        assert_eq!((decoder.size, decoder.table.len()), (0, 0));
        assert_eq!(decoded(&mut decoder, &hex("be")), Err(Broken));
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        let fields = [
            (":method", "GET"),
            (":path", "/a?b=c"),
            ("x-long", &"y".repeat(400)),
            ("cookie", "a=b"),
            ("accept", "*/*"),
            ("empty", ""),
        ];
        let mut block = Vec::new();
        for (name, value) in fields {
            encode(name.as_bytes(), value.as_bytes(), &mut block);
        }
        assert_eq!(block[0], 0x82);
        let mut decoder = Decoder::default();
        let read = decoded(&mut decoder, &block).unwrap();
        let expected: Vec<(String, String)> =
            fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!(read, expected);
        assert!(decoder.table.is_empty(), "nothing was put into the table");
    }

    #[test]
    fn fields_that_no_reply_may_have_are_told() {
        for (name, value, class) in [
            ("server", "x", Class::Plain),
            (":status", "200", Class::Status),
            ("content-length", "3", Class::Length),
            (":path", "/", Class::Bad),
            ("Server", "x", Class::Bad),
            ("connection", "close", Class::Bad),
            ("transfer-encoding", "chunked", Class::Bad),
            ("a b", "x", Class::Bad),
            ("a", "x\r\ny: z", Class::Bad),
            ("a", " x", Class::Bad),
            ("", "x", Class::Bad),
        ] {
            assert_eq!(classify(name.as_bytes(), value.as_bytes()), class, "{name}: {value}");
        }
    }
}
