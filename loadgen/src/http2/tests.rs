//! The session against a peer made of bytes: what each frame leads to, and what each fault ends.
//!
//! In: frames in a table. Out: verdicts of `cargo test`.

use super::frame::{self, Head, kind, setting};
use super::session::Session;
use crate::flight::{Flights, Key, Wish};
use crate::plan::Heads;
use crate::sample::Failure;

/// `GET /` without anything else.
const BLOCK: &[u8] = &[0x82, 0x86, 0x84];

/// `:status: 200`.
const OK: u8 = 0x88;

struct Side {
    session: Session,
    flights: Flights,
}

fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, (kind, flags), stream, payload);
    out
}

fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = entries
        .iter()
        .flat_map(|(number, value)| [&number.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame_of(kind::SETTINGS, 0, 0, &payload)
}

/// Status 200 on stream 1, without its end.
fn head_of(stream: u32) -> Vec<u8> {
    frame_of(kind::HEADERS, 4, stream, &[OK])
}

impl Side {
    /// A session that was greeted, its own greeting sent.
    fn new(entries: &[(u16, u32)]) -> Self {
        let mut side = Self { session: Session::new(), flights: Flights::default() };
        side.feed(&settings(entries)).unwrap();
        side.session.out.clear();
        side
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.session.feed(bytes, 5, &mut self.flights)
    }

    fn ask(&mut self, wish: Wish, body: &[u8]) -> Key {
        let key = self.flights.begin(wish, 0);
        self.session.submit(key, BLOCK, body);
        key
    }

    /// Kinds, streams and payloads of what is to be sent.
    fn sent(&mut self) -> Vec<(u8, u32, Vec<u8>)> {
        let mut frames = Vec::new();
        let mut rest = self.session.out.as_slice();
        while let Some(head) = Head::parse(rest) {
            let end = frame::HEAD + head.length;
            frames.push((head.kind, head.stream, rest[frame::HEAD..end].to_vec()));
            rest = &rest[end..];
        }
        self.session.out.clear();
        frames
    }
}

fn whole() -> Wish {
    Wish { head: false, body: true, heads: Heads::Always }
}

#[test]
fn a_greeting_is_sent_and_awaited() {
    let mut session = Session::new();
    assert!(session.out.starts_with(frame::PREFACE));
    assert!(!session.is_greeted());
    let mut flights = Flights::default();
    let text = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let told = session.feed(text, 0, &mut flights).unwrap_err();
    assert_eq!(told.to_string(), "http2: the peer answers in HTTP/1.1");
    let mut session = Session::new();
    let told = session.feed(&frame_of(kind::PING, 0, 0, &[0; 8]), 0, &mut flights).unwrap_err();
    assert_eq!(told.to_string(), "http2: the peer did not begin with its settings");
}

/// Interim reply, padding, a priority, a block in pieces, a body in pieces, trailers: byte by byte.
#[test]
fn a_reply_with_everything_in_it_is_read() {
    let mut side = Side::new(&[]);
    let key = side.ask(whole(), b"");
    assert_eq!(side.sent(), [(kind::HEADERS, 1, BLOCK.to_vec())]);
    let mut bytes = frame_of(kind::HEADERS, 4, 1, &[0x48, 3, b'1', b'0', b'3']);
    bytes.extend(frame_of(99, 0xff, 1, b"unknown"));
    let padded = [&[2][..], &[0, 0, 0, 0, 7], &[OK, 0x5c], &[9, 9]].concat();
    bytes.extend(frame_of(kind::HEADERS, 0x28, 1, &padded));
    bytes.extend(frame_of(kind::CONTINUATION, 0, 1, &[1]));
    bytes.extend(frame_of(kind::CONTINUATION, 4, 1, b"5"));
    bytes.extend(frame_of(kind::DATA, 8, 1, &[&[1][..], b"he", &[0]].concat()));
    bytes.extend(frame_of(kind::PING, 0, 0, b"12345678"));
    bytes.extend(frame_of(kind::DATA, 0, 1, b"llo"));
    bytes.extend(frame_of(kind::HEADERS, 5, 1, &[0, 1, b't', 1, b'v']));
    let mut held = Vec::new();
    for byte in &bytes {
        held.push(*byte);
        let used = side.feed(&held).unwrap();
        held.drain(..used);
    }
    assert_eq!(side.flights.outcome(key), Some(Ok(())));
    let flight = side.flights.at(key);
    assert_eq!((flight.status, flight.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(flight.fields, b"HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n");
    assert_eq!(side.sent(), [(kind::PING, 0, b"12345678".to_vec())]);
    // What comes on a stream that is closed is passed over.
    side.feed(&frame_of(kind::RST_STREAM, 0, 1, &[0; 4])).unwrap();
}

#[test]
fn streams_wait_for_their_turn_and_interleave() {
    let mut side = Side::new(&[(setting::STREAMS_MAX, 2)]);
    let keys: Vec<Key> = (0..4).map(|_| side.ask(whole(), b"")).collect();
    assert_eq!(side.sent().len(), 2);
    side.feed(&[head_of(3), head_of(1), frame_of(kind::DATA, 1, 3, b"b")].concat()).unwrap();
    assert_eq!(side.flights.outcome(keys[1]), Some(Ok(())));
    assert_eq!(side.flights.outcome(keys[0]), None);
    assert_eq!(side.sent(), [(kind::HEADERS, 5, BLOCK.to_vec())]);
    side.feed(&settings(&[(setting::STREAMS_MAX, 100)])).unwrap();
    let sent: Vec<(u8, u32)> = side.sent().iter().map(|sent| (sent.0, sent.1)).collect();
    assert_eq!(sent, [(kind::SETTINGS, 0), (kind::HEADERS, 7)]);
    side.feed(&frame_of(kind::DATA, 1, 1, b"a")).unwrap();
    assert_eq!(side.flights.at(keys[0]).body, b"a");
}

#[test]
fn bodies_keep_to_both_windows() {
    let mut side = Side::new(&[(setting::WINDOW, 5)]);
    let (a, b) = (side.ask(whole(), b"abcdefgh"), side.ask(whole(), b"xyz"));
    let data = |side: &mut Side| -> Vec<(u32, String)> {
        let frames = side.sent().into_iter().filter(|sent| sent.0 == kind::DATA);
        frames.map(|sent| (sent.1, String::from_utf8(sent.2).unwrap())).collect()
    };
    assert_eq!(data(&mut side), [(1, "abcde".to_owned()), (3, "xyz".to_owned())]);
    side.feed(&frame_of(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).unwrap();
    assert_eq!(data(&mut side), [(1, "f".to_owned())]);
    // A window that shrinks below what was sent has to be earned back.
    side.feed(&settings(&[(setting::WINDOW, 3)])).unwrap();
    side.feed(&frame_of(kind::WINDOW_UPDATE, 0, 1, &3_u32.to_be_bytes())).unwrap();
    assert_eq!(data(&mut side), [(1, "g".to_owned())]);
    // A reply that comes early makes the rest needless.
    side.feed(&frame_of(kind::HEADERS, 5, 1, &[OK])).unwrap();
    assert_eq!(side.flights.outcome(a), Some(Ok(())));
    assert_eq!(side.sent(), [(kind::RST_STREAM, 1, vec![0, 0, 0, 8])]);
    assert_eq!(side.flights.outcome(b), None);
    // The connection's own window: 65,535 of which 10 are used.
    side.feed(&settings(&[(setting::WINDOW, 1 << 20)])).unwrap();
    side.ask(whole(), &vec![b'z'; 70_000]);
    let sent: usize = data(&mut side).iter().map(|(_, text)| text.len()).sum();
    assert_eq!(sent, 65_535 - 10);
    side.feed(&frame_of(kind::WINDOW_UPDATE, 0, 0, &100_000_u32.to_be_bytes())).unwrap();
    let sent: usize = data(&mut side).iter().map(|(_, text)| text.len()).sum();
    assert_eq!(sent, 70_000 - 65_525);
}

#[test]
fn windows_are_granted_as_they_are_used() {
    let mut side = Side::new(&[]);
    let key = side.ask(Wish::default(), b"");
    side.sent();
    side.feed(&head_of(1)).unwrap();
    let piece = frame_of(kind::DATA, 0, 1, &[0; 16_384]);
    let mut granted = 0;
    for _ in 0..10_000 {
        side.feed(&piece).unwrap();
        granted += side.sent().len();
    }
    // 156 MiB in windows of 8 and 64, each renewed when half is used.
    assert_eq!(granted, 10_000 / 257 + 10_000 / 2_049);
    assert!(side.flights.at(key).body.is_empty());
}

#[test]
fn a_request_given_up_resets_its_stream_alone() {
    let mut side = Side::new(&[(setting::STREAMS_MAX, 2)]);
    let keys: Vec<Key> = (0..3).map(|_| side.ask(whole(), b"")).collect();
    side.sent();
    for key in [keys[2], keys[0]] {
        side.flights.forget(key);
        side.session.give_up(key, &mut side.flights);
    }
    assert_eq!(side.sent(), [(kind::RST_STREAM, 1, vec![0, 0, 0, 8])]);
    // The reply that was on its way comes all the same.
    side.feed(&[head_of(1), frame_of(kind::DATA, 1, 1, b"late")].concat()).unwrap();
    side.feed(&frame_of(kind::HEADERS, 5, 3, &[OK])).unwrap();
    assert_eq!(side.flights.outcome(keys[1]), Some(Ok(())));
    assert_eq!(side.flights.flying(), 0);
}

#[test]
fn what_a_peer_ends_has_its_reason() {
    let mut side = Side::new(&[(setting::STREAMS_MAX, 2)]);
    let keys: Vec<Key> = (0..3).map(|_| side.ask(whole(), b"")).collect();
    let goaway = |last: u8, code: u8| frame_of(kind::GOAWAY, 0, 0, &[0, 0, 0, last, 0, 0, 0, code]);
    side.feed(&goaway(1, 11)).unwrap();
    let calm = Some(Err(Failure::GoAway(11)));
    assert_eq!(
        keys.iter().map(|key| side.flights.outcome(*key)).collect::<Vec<_>>(),
        [None, calm, calm]
    );
    assert!(!side.session.is_open());
    assert_eq!(
        side.session.reason(Failure::Closed).to_string(),
        "http2: goaway (ENHANCE_YOUR_CALM)"
    );
    side.feed(&frame_of(kind::RST_STREAM, 0, 1, &[0, 0, 0, 7])).unwrap();
    let told = side.flights.outcome(keys[0]).unwrap().unwrap_err();
    assert_eq!(told.to_string(), "http2: stream reset (REFUSED_STREAM)");
    assert!(side.feed(&goaway(9, 0)).is_err(), "a farewell is not taken back");
}

/// One stream's fault is told, resets that stream, and leaves the other alone.
#[test]
fn faults_of_a_stream_end_that_stream() {
    let mut long = vec![OK];
    super::hpack::encode(b"a", &[b'x'; 66_000], &mut long);
    let headers = |flags, payload: &[u8]| frame_of(kind::HEADERS, flags, 1, payload);
    let data = |flags, payload: &[u8]| frame_of(kind::DATA, flags, 1, payload);
    let (first, rest) = long.split_at(16_000);
    let mut pieces = headers(1, first);
    for piece in rest.chunks(16_000) {
        pieces.extend(frame_of(kind::CONTINUATION, 4 * u8::from(piece.len() < 16_000), 1, piece));
    }
    let with_length = |value: u8| headers(4, &[OK, 0x5c, 1, value]);
    let update = |more: u32| frame_of(kind::WINDOW_UPDATE, 0, 1, &more.to_be_bytes());
    for (bytes, what) in [
        (data(1, b"x"), "body before its head"),
        (headers(5, &[0x40, 1, b'a', 1, b'b']), "reply without status"),
        (headers(5, &[OK, OK]), "malformed header"),
        (headers(5, &[0, 1, b'a', 1, b'b', OK]), "malformed header"),
        (headers(5, &[OK, 0x84]), "malformed header"),
        (headers(5, &[OK, 0, 1, b'A', 0]), "malformed header"),
        (headers(5, &[0x48, 2, b'2', b'0']), "malformed header"),
        (headers(5, &[OK, 0x5c, 1, b'x']), "malformed header"),
        (headers(5, &[0x48, 3, b'1', b'0', b'0']), "malformed interim reply"),
        (headers(4, &[0x48, 3, b'1', b'0', b'1']), "malformed interim reply"),
        ([head_of(1), headers(4, &[0, 1, b't', 0])].concat(), "malformed trailers"),
        ([head_of(1), headers(5, &[OK])].concat(), "malformed trailers"),
        ([with_length(b'3'), data(0, b"long")].concat(), "body longer than its `content-length`"),
        ([with_length(b'3'), data(1, b"a")].concat(), "body shorter than its `content-length`"),
        (headers(5, &[OK, 0x5c, 1, b'3']), "body shorter than its `content-length`"),
        (pieces, "headers larger than 64 KiB"),
        (update(0), "window update of nothing"),
        (update(0x7fff_ffff), "window too large"),
    ] {
        let mut side = Side::new(&[]);
        let (key, other) = (side.ask(whole(), b""), side.ask(whole(), b""));
        side.sent();
        side.feed(&bytes).unwrap_or_else(|failure| panic!("{what}: {failure}"));
        let told = side.flights.outcome(key).unwrap_or_else(|| panic!("{what}")).unwrap_err();
        assert_eq!(told.to_string(), format!("http2: {what}"));
        assert!(side.sent().iter().any(|sent| (sent.0, sent.1) == (kind::RST_STREAM, 1)), "{what}");
        side.feed(&frame_of(kind::HEADERS, 5, 3, &[OK])).unwrap();
        assert_eq!(side.flights.outcome(other), Some(Ok(())), "{what}");
    }
}

#[test]
fn faults_of_the_connection_end_all() {
    let frame = frame_of;
    let flood: Vec<u8> = frame(kind::HEADERS, 0, 1, &[])
        .into_iter()
        .chain((0..9).flat_map(|_| frame_of(kind::CONTINUATION, 0, 1, &[0x88; 16_000])))
        .collect();
    let setting = |number, value| settings(&[(number, value)]);
    for (bytes, code, what) in [
        (frame(kind::DATA, 0, 0, b"x"), 1, "frame of a stream that was never opened"),
        (frame(kind::DATA, 0, 3, b"x"), 1, "frame of a stream that was never opened"),
        (frame(kind::HEADERS, 4, 2, &[OK]), 1, "frame of a stream that was never opened"),
        (frame(kind::RST_STREAM, 0, 5, &[0; 4]), 1, "frame of a stream that was never opened"),
        (frame(kind::WINDOW_UPDATE, 0, 5, &[1; 4]), 1, "frame of a stream that was never opened"),
        (frame(kind::HEADERS, 12, 1, &[2, OK]), 1, "padding longer than its frame"),
        (frame(kind::HEADERS, 0x24, 1, &[OK]), 1, "header frame without its priority"),
        (frame(kind::HEADERS, 4, 1, &[0x80]), 9, "headers that cannot be decoded"),
        (frame(kind::CONTINUATION, 4, 1, &[]), 1, "continuation of nothing"),
        (
            [frame(kind::HEADERS, 0, 1, &[]), frame(kind::PING, 0, 0, &[0; 8])].concat(),
            1,
            "header block interrupted",
        ),
        (
            [frame(kind::HEADERS, 0, 1, &[]), frame(kind::CONTINUATION, 0, 1, &[])].concat(),
            11,
            "empty continuation",
        ),
        (flood, 11, "header block without end"),
        (frame(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82]), 1, "push, which was not allowed"),
        (frame(kind::SETTINGS, 0, 1, &[]), 1, "settings of a stream"),
        (frame(kind::SETTINGS, 1, 0, &[0; 6]), 6, "settings that answer"),
        (frame(kind::SETTINGS, 0, 0, &[0; 5]), 6, "settings cut off"),
        (setting(setting::ENABLE_PUSH, 1), 1, "a server that wants to be pushed to"),
        (setting(setting::WINDOW, 1 << 31), 3, "window too large"),
        (setting(setting::FRAME_MAX, 100), 1, "frame size out of range"),
        (frame(kind::PING, 0, 0, &[0; 7]), 6, "ping of a wrong length"),
        (frame(kind::PING, 0, 1, &[0; 8]), 1, "ping of a stream"),
        (frame(kind::RST_STREAM, 0, 1, &[0; 3]), 6, "reset of a wrong length"),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), 1, "window update of nothing"),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), 3, "window too large"),
        (frame(kind::WINDOW_UPDATE, 0, 1, &[0; 5]), 6, "window update of a wrong length"),
        (frame(kind::GOAWAY, 0, 0, &[0; 7]), 6, "farewell cut off"),
        (frame(kind::GOAWAY, 0, 1, &[0; 8]), 1, "farewell of a stream"),
        (frame(kind::PRIORITY, 0, 0, &[0; 5]), 1, "priority of no stream"),
        (frame(kind::DATA, 0, 1, &[0; 16_385]), 6, "frame larger than allowed"),
    ] {
        let mut side = Side::new(&[]);
        side.ask(whole(), b"");
        side.sent();
        let told = side.feed(&bytes).expect_err(what);
        assert_eq!(told.to_string(), format!("http2: {what}"));
        let farewell = (kind::GOAWAY, 0, vec![0, 0, 0, 0, 0, 0, 0, code]);
        assert_eq!(side.sent().pop(), Some(farewell), "{what}");
    }
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_given_up() {
    let mut side = Side::new(&[]);
    let pings = frame_of(kind::PING, 0, 0, &[0; 8]).repeat(1_000);
    let told = (0..1_000).find_map(|_| side.feed(&pings).err()).expect("a bound");
    assert_eq!(told.to_string(), "http2: the peer asks and does not read");
}
