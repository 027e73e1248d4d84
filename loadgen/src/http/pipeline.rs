//! HTTP/1.1 with several requests under way on one connection, answered in their order (RFC 9112,
//! section 9.3.2).
//!
//! In: requests as bytes, bytes as they come. Out: bytes to send, requests landed. A reply that
//! nobody asked for ends the connection: whose the next one is could not be told. Reading and
//! writing is left to the link.

use super::reply::{BodyLength, Chunks, Head, parse_head};
use crate::flight::{BODY_MAX, Flight, Flights, Key};
use crate::sample::Failure;
use std::collections::VecDeque;

/// Bytes of a reply's head at most: what servers and proxies take themselves, and more.
const HEAD_MAX: usize = 256 * 1024;

/// Requests under way on one connection.
#[derive(Default)]
pub(crate) struct Pipeline {
    /// What is to be sent.
    pub(crate) out: Vec<u8>,
    /// Whose replies are to come.
    queue: VecDeque<Key>,
    /// When the first byte of the reply came that is being read.
    begun: Option<u64>,
    /// The reply whose head has come.
    body: Option<Body>,
}

/// A body on its way.
struct Body {
    head: Head,
    left: u64,
    chunks: Chunks,
}

impl Pipeline {
    /// Sends a request behind the others.
    #[inline]
    pub(crate) fn submit(&mut self, key: Key, request: &[u8]) {
        self.out.extend_from_slice(request);
        self.queue.push_back(key);
    }

    /// Takes what has come, and says how much of it was used.
    ///
    /// # Errors
    /// When the connection is over; [`Failure::Closed`] when a reply says so.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        now: u64,
        flights: &mut Flights,
    ) -> Result<usize, Failure> {
        let mut at = 0;
        while at < bytes.len() || self.body.is_some() {
            let Some(key) = self.queue.front().copied() else { return Err(Failure::Unasked) };
            let flight = flights.at(key);
            self.begun.get_or_insert(now);
            if self.body.is_none() {
                let Some(head) = parse_head(&bytes[at..], flight.wish.head)? else {
                    if bytes.len() - at > HEAD_MAX {
                        return Err(Failure::TooLarge);
                    }
                    break;
                };
                self.head(head, &bytes[at..at + head.length], flight)?;
                at += head.length;
                continue;
            }
            let (used, ended) = self.piece(&bytes[at..], flight)?;
            at += used;
            if !ended {
                break;
            }
            let close = self.body.take().is_some_and(|body| body.head.close);
            self.land(now, flights);
            if close {
                return Err(Failure::Closed);
            }
        }
        Ok(at)
    }

    fn head(&mut self, head: Head, bytes: &[u8], flight: &mut Flight) -> Result<(), Failure> {
        flight.bytes += bytes.len() as u64;
        match head.status {
            // Nobody has asked for another protocol.
            101 => return Err(Failure::Protocol),
            // Interim replies come before the one that counts.
            100..200 => return Ok(()),
            _ => {}
        }
        flight.status = head.status;
        flight.notable = head.notable;
        if flight.is_kept() {
            flight.fields.extend_from_slice(bytes);
        }
        let left = match head.body {
            BodyLength::Fixed(length) => length,
            BodyLength::Chunked | BodyLength::UntilClose => u64::MAX,
        };
        self.body = Some(Body { head, left, chunks: Chunks::default() });
        Ok(())
    }

    /// A piece of the body: how much of the bytes belongs to it, and whether it is the last.
    fn piece(&mut self, bytes: &[u8], flight: &mut Flight) -> Result<(usize, bool), Failure> {
        let Some(body) = &mut self.body else { return Ok((0, false)) };
        let used = if body.head.body == BodyLength::Chunked {
            body.chunks.feed(bytes, flight.wish.body.then_some(&mut flight.body))?
        } else {
            let take = bytes.len().min(usize::try_from(body.left).unwrap_or(usize::MAX));
            if flight.wish.body {
                flight.body.extend_from_slice(&bytes[..take]);
            }
            take
        };
        if flight.body.len() > BODY_MAX {
            return Err(Failure::TooLarge);
        }
        flight.bytes += used as u64;
        body.left = body.left.saturating_sub(used as u64);
        Ok((used, body.left == 0 || body.chunks.is_done()))
    }

    fn land(&mut self, now: u64, flights: &mut Flights) {
        let begun = self.begun.take();
        if let Some(key) = self.queue.pop_front() {
            let flight = flights.at(key);
            flight.first = begun.filter(|begun| *begun != now);
            flight.done = now;
            flights.land(key, Ok(()));
        }
    }

    /// The peer has closed: a body without a length ends there.
    pub(crate) fn end(&mut self, now: u64, flights: &mut Flights) {
        if self.body.take().is_some_and(|body| body.head.body == BodyLength::UntilClose) {
            self.land(now, flights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight::Wish;
    use crate::plan::Heads;

    const REPLIES: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\n\
        Transfer-Encoding: chunked\r\n\r\n\
        2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n";

    fn asked(count: usize) -> (Pipeline, Flights, Vec<Key>) {
        let (mut pipeline, mut flights) = (Pipeline::default(), Flights::default());
        let keys = (0..count)
            .map(|place| {
                let wish = Wish { head: place == 2, body: true, heads: Heads::Always };
                let key = flights.begin(wish, place);
                pipeline.submit(key, format!("{place};").as_bytes());
                key
            })
            .collect();
        (pipeline, flights, keys)
    }

    #[test]
    fn replies_are_told_apart_however_they_are_cut() {
        for step in [1, 2, 7, REPLIES.len()] {
            let (mut pipeline, mut flights, keys) = asked(4);
            assert_eq!(pipeline.out, b"0;1;2;3;");
            let mut held = Vec::new();
            for (time, piece) in REPLIES.chunks(step).enumerate() {
                held.extend_from_slice(piece);
                let used = pipeline.feed(&held, time as u64, &mut flights).unwrap();
                held.drain(..used);
            }
            assert!(held.is_empty());
            let told: Vec<(u16, Vec<u8>)> = keys
                .iter()
                .map(|key| {
                    assert_eq!(flights.outcome(*key), Some(Ok(())), "{step}");
                    (flights.at(*key).status, flights.at(*key).body.clone())
                })
                .collect();
            let expected: [(u16, &[u8]); 4] =
                [(200, b"hello"), (404, b"abc"), (200, b""), (204, b"")];
            assert_eq!(told, expected.map(|(status, body)| (status, body.to_vec())), "{step}");
            let bytes: u64 = keys.iter().map(|key| flights.at(*key).bytes).sum();
            assert_eq!(bytes, REPLIES.len() as u64);
            assert_eq!(flights.at(keys[0]).first.is_some(), step < REPLIES.len());
            assert!(flights.at(keys[3]).fields.starts_with(b"HTTP/1.1 204"));
        }
    }

    #[test]
    fn what_ends_a_connection_is_told() {
        let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        for (replies, failure) in [
            (&close[..], Failure::Closed),
            (&ok.repeat(3), Failure::Unasked),
            (b"SPDY\r\n\r\n", Failure::Protocol),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Failure::Protocol),
            (
                &b"HTTP/1.1 200 OK\r\nx: "
                    .iter()
                    .chain(&[b'y'; HEAD_MAX])
                    .copied()
                    .collect::<Vec<_>>(),
                Failure::TooLarge,
            ),
        ] {
            let (mut pipeline, mut flights, keys) = asked(2);
            assert_eq!(pipeline.feed(replies, 1, &mut flights), Err(failure));
            let landed = flights.outcome(keys[0]).is_some();
            assert_eq!(landed, matches!(failure, Failure::Closed | Failure::Unasked));
        }
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let (mut pipeline, mut flights, keys) = asked(2);
        pipeline.feed(b"HTTP/1.0 200 OK\r\n\r\nhel", 1, &mut flights).unwrap();
        pipeline.feed(b"lo", 2, &mut flights).unwrap();
        pipeline.end(3, &mut flights);
        assert_eq!(flights.outcome(keys[0]), Some(Ok(())));
        assert_eq!(flights.at(keys[0]).body, b"hello");
        assert_eq!((flights.at(keys[0]).first, flights.at(keys[0]).done), (Some(1), 3));
        assert_eq!(flights.outcome(keys[1]), None);
    }
}
