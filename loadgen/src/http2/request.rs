//! From a request as HTTP/1.1 writes it to a header block: a request is prepared in one form, and
//! this is how it gets into the other.
//!
//! In: a request's bytes. Out: its header block, and where its body begins. Sending both is left
//! to the session.

use super::hpack::encode;

/// A request prepared for HTTP/2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Block {
    /// The header block.
    pub bytes: Vec<u8>,
    /// Where the body begins in the request that it was made from.
    pub body: usize,
}

impl Block {
    /// Makes the block of a request that we wrote ourselves: a request line, headers, an empty
    /// line, the body. What belongs to one HTTP/1.1 connection is left out (RFC 9113, section
    /// 8.2.2), and `Host` becomes the authority.
    pub fn fill(&mut self, request: &[u8], secure: bool) {
        self.bytes.clear();
        let end = request.windows(4).position(|four| four == b"\r\n\r\n");
        let head = &request[..end.unwrap_or(request.len())];
        self.body = end.map_or(request.len(), |end| end + 4);
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
        let mut words = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        encode(b":method", method, &mut self.bytes);
        encode(b":scheme", if secure { b"https" } else { b"http" }, &mut self.bytes);
        encode(b":path", if path.is_empty() { b"/" } else { path }, &mut self.bytes);
        let fields = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii()))
        });
        // Pseudo fields come first, wherever `Host` stands.
        let mut later = Vec::new();
        for (name, value) in fields {
            match name.as_slice() {
                b"host" => encode(b":authority", value, &mut self.bytes),
                b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
                | b"upgrade" => {}
                b"te" if !value.eq_ignore_ascii_case(b"trailers") => {}
                _ => encode(&name, value, &mut later),
            }
        }
        self.bytes.extend_from_slice(&later);
    }

    /// The block of a request that is prepared once.
    #[must_use]
    pub fn of(request: &[u8], secure: bool) -> Self {
        let mut block = Self::default();
        block.fill(request, secure);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::hpack::Decoder;

    #[test]
    fn a_request_becomes_a_block() {
        let request =
            b"POST /a?b=c HTTP/1.1\r\nAccept: */*\r\nHost: there:81\r\nConnection: close\r\n\
                        TE: gzip\r\nX-Id: 7\r\nContent-Length: 5\r\n\r\nhe\r\n\r";
        let block = Block::of(request, false);
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Decoder::default()
            .decode(&block.bytes, |field| {
                fields.push(format!("{}={}", text(field.name), text(field.value)));
            })
            .unwrap();
        let expected = [
            ":method=POST",
            ":scheme=http",
            ":path=/a?b=c",
            ":authority=there:81",
            "accept=*/*",
            "x-id=7",
            "content-length=5",
        ];
        assert_eq!(fields, expected);
        assert_eq!(&request[block.body..], b"he\r\n\r");
        assert_eq!(Block::of(b"GET / HTTP/1.1\r\n\r\n", true).bytes, [0x82, 0x87, 0x84]);
    }
}
