//! Content codings: bodies of replies decoded so that checks and captures can read them (RFC 9110,
//! section 8.4). Pure.
//!
//! In: a reply's head and its body as it came. Out: the body decoded, bounded however much it
//! would become. Which codings are offered is left to the scenario.

use crate::check::headers;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// A decoded body at most, bytes. What a small reply would become beyond it is cut off, so that a
/// hostile one costs no more memory than a large one.
const DECODED_MAX: u64 = 16 * 1024 * 1024;

/// Codings in a row that are undone at most: one is usual, and each can multiply.
const CODINGS_MAX: usize = 2;

/// The body as its sender meant it; as it came when its coding is unknown or it is broken.
#[must_use]
pub fn decoded<'b>(head: &[u8], body: &'b [u8]) -> Cow<'b, [u8]> {
    let mut codings: Vec<&[u8]> = headers(head, "content-encoding")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    if codings.len() > CODINGS_MAX {
        return Cow::Borrowed(body);
    }
    let mut body = Cow::Borrowed(body);
    while let Some(coding) = codings.pop() {
        match undone(coding, &body) {
            Some(plain) => body = Cow::Owned(plain),
            None if coding.eq_ignore_ascii_case(b"identity") => {}
            None => break,
        }
    }
    body
}

fn undone(coding: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
        return read(MultiGzDecoder::new(body));
    }
    if coding.eq_ignore_ascii_case(b"deflate") {
        // Meant to be wrapped as zlib, and sent bare by some.
        return read(ZlibDecoder::new(body)).or_else(|| read(DeflateDecoder::new(body)));
    }
    None
}

fn read(from: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    from.take(DECODED_MAX).read_to_end(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn head(coding: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n").into_bytes()
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn known_codings_are_undone_and_others_left() {
        let plain = b"hello, hello, hello";
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(plain).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(plain).unwrap();
        let half = gzip(plain)[..12].to_vec();
        let table: [(&str, Vec<u8>, Vec<u8>); 9] = [
            ("gzip", gzip(plain), plain.to_vec()),
            ("X-GZIP", gzip(plain), plain.to_vec()),
            ("deflate", zlib.finish().unwrap(), plain.to_vec()),
            ("deflate", bare.finish().unwrap(), plain.to_vec()),
            ("gzip, gzip", gzip(&gzip(plain)), plain.to_vec()),
            ("identity", plain.to_vec(), plain.to_vec()),
            ("br", b"\x01\x02".to_vec(), b"\x01\x02".to_vec()),
            ("gzip", half.clone(), half),
            ("gzip, gzip, gzip", b"x".to_vec(), b"x".to_vec()),
        ];
        for (coding, body, expected) in table {
            assert_eq!(*decoded(&head(coding), &body), expected, "{coding}");
        }
    }

    #[test]
    fn a_bomb_stays_bounded() {
        let bomb = gzip(&vec![0; DECODED_MAX as usize * 3]);
        assert!(bomb.len() < 100_000);
        assert_eq!(decoded(&head("gzip"), &bomb).len() as u64, DECODED_MAX);
        let double = gzip(&bomb);
        assert!(decoded(&head("gzip, gzip"), &double).len() as u64 <= DECODED_MAX);
    }
}
