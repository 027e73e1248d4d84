//! The targets of the benches: one thread, one loop, and a [`Talk`] that says what is answered.
//!
//! Comes in: whatever clients send; lines on stdin. Goes out: answers, those to one read in one
//! write; for each line on stdin, a line with the requests answered since the last one and the
//! nanoseconds from the first to the last of them. The talk of `bench load` stands here: HTTP/1.1
//! with keep-alive, the same reply to whatever ends with an empty line. It reads no header and
//! keeps no state but how much of that line it has seen, so that the generator is measured.

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

/// Head and body in one write. A client of HTTP/1.0 wants to be told that the connection stays.
const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 14\r\n\r\nebb and flow.\n";
/// A generator's whole batch of requests in flight, and far more than one request.
const READ_BYTES: usize = 64 * 1024;
/// Events taken at once: as many as the benches open connections.
const EVENTS: usize = 64;
/// Keys of what is no connection; connections have their file descriptor as key.
const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;

/// What one client has said, and what it is answered.
pub(crate) trait Talk: Default {
    /// Takes bytes and appends the answer: the number of requests answered, or none when what was
    /// said is nonsense and the connection is over.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<u64>;
}

/// Serves clients until stdin ends.
///
/// # Errors
/// When the loopback cannot be listened on. A connection that fails is dropped.
pub(crate) fn serve<T: Talk>() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening on 127.0.0.1")?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    epoll::add(&poll, std::io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
    let mut connections: HashMap<u64, Connection<T>> = HashMap::new();
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
                        Some(answered) => count.add(answered),
                        None => drop(connections.remove(&key)),
                    }
                }
            }
        }
    }
}

/// Takes every connection that waits.
fn accept_all<T: Talk>(
    listener: &TcpListener,
    poll: &impl std::os::fd::AsFd,
    connections: &mut HashMap<u64, Connection<T>>,
) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let key = u64::try_from(stream.as_raw_fd()).context("a file descriptor")?;
                epoll::add(poll, &stream, EventData::new_u64(key), EventFlags::IN)?;
                let connection = Connection { stream, talk: T::default(), out: Vec::new() };
                connections.insert(key, connection);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accept"),
        }
    }
}

/// A client.
struct Connection<T> {
    stream: TcpStream,
    talk: T,
    out: Vec<u8>,
}

impl<T: Talk> Connection<T> {
    /// Answers what has arrived: the number of requests, or none when the connection is over. A
    /// peer that does not read its answers is over, too.
    fn answer(&mut self, buffer: &mut [u8]) -> Option<u64> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(0),
            Err(_) => return None,
        };
        self.out.clear();
        let answered = self.talk.take(&buffer[..read], &mut self.out)?;
        let whole = self.out.is_empty() || self.stream.write(&self.out).ok()? == self.out.len();
        whole.then_some(answered)
    }
}

/// How many bytes of `\r\n\r\n` the last ones were.
#[derive(Default)]
pub(crate) struct EmptyLine(usize);

impl Talk for EmptyLine {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<u64> {
        let requests = self.count(bytes);
        for _ in 0..requests {
            out.extend_from_slice(REPLY);
        }
        Some(requests)
    }
}

impl EmptyLine {
    /// The number of requests that end in these bytes.
    fn count(&mut self, bytes: &[u8]) -> u64 {
        const END: &[u8; 4] = b"\r\n\r\n";
        let mut ends = 0;
        for byte in bytes {
            self.0 = match byte {
                b if *b == END[self.0] => self.0 + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.0 == END.len() {
                self.0 = 0;
                ends += 1;
            }
        }
        ends
    }
}

/// Requests answered, and when the first and the last were.
#[derive(Default)]
pub(super) struct Count {
    requests: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Count {
    /// Counts what was just answered; the clock is read once for a batch.
    pub(super) fn add(&mut self, answered: u64) {
        let now = Instant::now();
        self.requests += answered;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// `<requests> <nanoseconds>`, and begins anew.
    pub(super) fn take(&mut self) -> String {
        let Count { requests, first, last } = std::mem::take(self);
        let took = first.zip(last).map_or(0, |(first, last)| (last - first).as_nanos());
        format!("{requests} {took}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        for cut in 0..text.len() {
            let mut end = EmptyLine::default();
            let ends = end.count(&text[..cut]) + end.count(&text[cut..]);
            assert_eq!(ends, 2, "cut at {cut}");
        }
    }

    #[test]
    fn the_reply_says_its_length() {
        let reply = String::from_utf8_lossy(REPLY);
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
