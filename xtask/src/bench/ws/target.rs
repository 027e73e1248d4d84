//! The echo target of the WebSocket bench: one thread, each message back as it came.
//!
//! Comes in: handshakes and masked frames; lines on stdin. Goes out: the frames' payloads,
//! unmasked, as many as one read brought in one write; for each line on stdin, a line with the
//! messages echoed since the last one and the nanoseconds from the first to the last of them. It
//! checks nothing that a client of a bench gets right, so that the generator is what is measured.

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Far more than the bench's messages of one read.
const READ_BYTES: usize = 64 * 1024;
/// Events taken at once: as many as the benches open connections.
const EVENTS: usize = 64;
/// Keys of what is no connection; connections have their file descriptor as key.
const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;
/// First bytes of frames: final, and the opcode.
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// Serves until stdin ends.
///
/// # Errors
/// When the loopback cannot be listened on. A connection that fails is dropped.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening on 127.0.0.1")?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    epoll::add(&poll, std::io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut count = Count::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                STDIN => {
                    if std::io::stdin().read(&mut buffer)? == 0 {
                        return Ok(());
                    }
                    println!("{}", count.take());
                }
                LISTENER => accept_all(&listener, &poll, &mut connections)?,
                key => {
                    let Some(connection) = connections.get_mut(&key) else { continue };
                    match connection.answer(&mut buffer) {
                        Some(0) => {}
                        Some(echoed) => count.add(echoed),
                        None => drop(connections.remove(&key)),
                    }
                }
            }
        }
    }
}

/// Takes every connection that waits.
fn accept_all(
    listener: &TcpListener,
    poll: &impl std::os::fd::AsFd,
    connections: &mut HashMap<u64, Connection>,
) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let key = u64::try_from(stream.as_raw_fd()).context("a file descriptor")?;
                epoll::add(poll, &stream, EventData::new_u64(key), EventFlags::IN)?;
                connections.insert(key, Connection { stream, session: Session::default() });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accept"),
        }
    }
}

/// A client and what it said.
struct Connection {
    stream: TcpStream,
    session: Session,
}

impl Connection {
    /// Answers what has arrived: the number of messages, or none when the connection is over. A
    /// peer that does not read its echoes is over, too.
    fn answer(&mut self, buffer: &mut [u8]) -> Option<u64> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(0),
            Err(_) => return None,
        };
        let (echoed, out) = self.session.take(&buffer[..read])?;
        let whole = out.is_empty() || self.stream.write(out).ok()? == out.len();
        whole.then_some(echoed)
    }
}

/// What a client has said and has not been answered, and the answer to the rest.
#[derive(Default)]
struct Session {
    open: bool,
    held: Vec<u8>,
    out: Vec<u8>,
}

impl Session {
    /// Takes bytes: messages echoed by the answer, and the answer; none after nonsense.
    fn take(&mut self, bytes: &[u8]) -> Option<(u64, &[u8])> {
        self.held.extend_from_slice(bytes);
        self.out.clear();
        if !self.open && !self.shake_hands()? {
            return Some((0, &self.out));
        }
        let mut echoed = 0;
        let mut at = 0;
        while let Some(frame) = Frame::parse(&self.held[at..]) {
            let payload = at + frame.head..at + frame.head + frame.payload;
            at = payload.end;
            let first = if frame.first == PING { PONG } else { frame.first };
            if first == PONG && frame.first == PONG {
                continue;
            }
            self.out.push(first);
            match frame.payload {
                length @ 0..=125 => self.out.push(u8::try_from(length).ok()?),
                length => {
                    self.out.push(126);
                    self.out.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
                }
            }
            let masked = self.held[payload].iter().zip(frame.mask.iter().cycle());
            self.out.extend(masked.map(|(byte, mask)| byte ^ mask));
            echoed += u64::from(!matches!(frame.first, PING | CLOSE));
        }
        self.held.drain(..at);
        Some((echoed, &self.out))
    }

    /// Answers the handshake once it is whole.
    fn shake_hands(&mut self) -> Option<bool> {
        let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Some(false);
        };
        let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        })?;
        let accept = derive_accept_key(key.as_bytes());
        self.out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        self.out.extend_from_slice(accept.as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.held.drain(..end + 4);
        self.open = true;
        Some(true)
    }
}

/// A whole frame at the start of some bytes.
struct Frame {
    first: u8,
    head: usize,
    payload: usize,
    mask: [u8; 4],
}

impl Frame {
    /// None while it is not whole. Payloads of 64 KiB and more are not for an echo bench.
    fn parse(bytes: &[u8]) -> Option<Frame> {
        let (&first, rest) = bytes.split_first()?;
        let (start, payload) = match rest.first()? & 0x7F {
            126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
            127 => return None,
            length => (2, usize::from(length)),
        };
        let mask = *bytes.get(start..)?.first_chunk()?;
        let head = start + 4;
        (bytes.len() >= head + payload).then_some(Frame { first, head, payload, mask })
    }
}

/// Messages echoed, and when the first and the last were.
#[derive(Default)]
struct Count {
    messages: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Count {
    /// Counts what was just echoed; the clock is read once for a batch.
    fn add(&mut self, echoed: u64) {
        let now = Instant::now();
        self.messages += echoed;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// `<messages> <nanoseconds>`, and begins anew.
    fn take(&mut self) -> String {
        let Count { messages, first, last } = std::mem::take(self);
        let took = first.zip(last).map_or(0, |(first, last)| (last - first).as_nanos());
        format!("{messages} {took}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3, and a masked `Hello` of section 5.7.
    #[test]
    fn echoes_come_back_however_the_bytes_are_cut() {
        let mut bytes =
            b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        bytes.extend_from_slice(&hello);
        bytes.extend_from_slice(&hello);
        for cut in 0..bytes.len() {
            let mut session = Session::default();
            let mut text = Vec::new();
            let mut echoed = 0;
            for part in [&bytes[..cut], &bytes[cut..]] {
                let (count, out) = session.take(part).expect("a client that knows how");
                echoed += count;
                text.extend_from_slice(out);
            }
            assert_eq!(echoed, 2, "cut at {cut}");
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text.contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{text}");
            assert!(text.ends_with("Hello"), "{text}");
        }
    }
}
