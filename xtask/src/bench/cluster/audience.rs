//! The clients of `cargo xtask bench cluster`: some at every process, all in one room, of which one
//! after the other speaks at a fixed rate.
//!
//! Comes in: ports, a rate, a time. Goes out: how long deliveries took, and how many never came.
//! One thread and epoll. A message carries its number; when it was due is kept here, on one clock.

use crate::bench::server::crowd;
use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What stands before a message's number.
const MARK: &[u8] = b"\"content\":\"#";

/// After so long without any delivery what is left is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Events taken at once.
const EVENTS: usize = 256;

/// What deliveries took, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    /// Deliveries a second.
    pub(super) rate: f64,
    pub(super) lost: u64,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heard { p50, p99, max, rate, lost } = self;
        write!(
            f,
            "{rate:.0} deliveries/s  p50 {p50:.2}  p99 {p99:.2}  max {max:.1} ms  {lost} lost"
        )
    }
}

/// All clients.
pub(super) struct Audience {
    clients: Vec<Client>,
    poll: OwnedFd,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    /// What has been read and is no whole frame yet.
    rest: Vec<u8>,
}

/// When the messages of one run were due, and how late they came.
struct Run {
    due: Vec<Instant>,
    /// In microseconds.
    late: Vec<u32>,
}

impl Audience {
    /// Connects so many clients to each port; their order goes from process to process.
    pub(super) fn gather(ports: &[u16], clients: u32) -> Result<Audience> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut all = Vec::new();
        for _ in 0..clients {
            for port in ports {
                let stream = crowd::enter(*port).context("a client")?;
                let key = u64::try_from(all.len())?;
                epoll::add(&poll, &stream, EventData::new_u64(key), EventFlags::IN)?;
                all.push(Client { stream, rest: Vec::new() });
            }
        }
        Ok(Audience { clients: all, poll, buffer: vec![0; READ_BYTES] })
    }

    /// Sends at a rate for so long, and waits until everyone has everything.
    pub(super) fn speak(&mut self, rate: u32, time: Duration) -> Result<Heard> {
        let total = (f64::from(rate) * time.as_secs_f64()) as usize;
        let everyone = self.clients.len();
        let start = Instant::now() + Duration::from_millis(20);
        let due = (0..total).map(|n| start + Duration::from_secs_f64(n as f64 / f64::from(rate)));
        let mut run = Run { due: due.collect(), late: Vec::with_capacity(total * everyone) };
        let (mut sent, mut progress) = (0, Instant::now());
        let mut events = Vec::with_capacity(EVENTS);
        while run.late.len() < total * everyone {
            let now = Instant::now();
            while sent < total && run.due[sent] <= now {
                self.send(sent)?;
                sent += 1;
            }
            let wait = run.due.get(sent).map_or(PATIENCE, |due| due.duration_since(Instant::now()));
            let wait = Timespec {
                tv_sec: i64::try_from(wait.as_secs())?,
                tv_nsec: wait.subsec_nanos().into(),
            };
            events.clear();
            epoll::wait(&self.poll, spare_capacity(&mut events), Some(&wait))?;
            let before = run.late.len();
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                self.clients[index].read(&mut self.buffer, &mut run)?;
            }
            if run.late.len() > before || sent < total {
                progress = Instant::now();
            } else if progress.elapsed() > PATIENCE {
                break;
            }
        }
        let took = start.elapsed().as_secs_f64();
        Ok(run.heard(total * everyone, took))
    }

    fn send(&mut self, number: usize) -> Result<()> {
        let speaker = number % self.clients.len();
        let filling = "x".repeat(48);
        let text = format!(
            r##"42["message:send",{{"room":"{}","content":"#{number} {filling}"}}]"##,
            crowd::ROOM
        );
        Ok(self.clients[speaker].stream.write_all(&crowd::masked(text.as_bytes()))?)
    }
}

impl Run {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    fn heard(mut self, wanted: usize, took: f64) -> Heard {
        self.late.sort_unstable();
        let at = |share: f64| {
            let index = (self.late.len() as f64 * share) as usize;
            let index = index.min(self.late.len().saturating_sub(1));
            self.late.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
        };
        let lost = wanted.saturating_sub(self.late.len()) as u64;
        let rate = self.late.len() as f64 / took;
        Heard { p50: at(0.5), p99: at(0.99), max: at(1.0), rate, lost }
    }
}

impl Client {
    /// Reads what has come, and notes each message of the run.
    fn read(&mut self, buffer: &mut [u8], run: &mut Run) -> Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("a server closed a connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a client"),
        };
        let now = Instant::now();
        self.rest.extend(&buffer[..read]);
        let mut begin = 0;
        while let Some((head, len)) = frame(&self.rest[begin..]) {
            let content = &self.rest[begin + head..begin + head + len];
            if content == b"2" {
                self.stream.write_all(&crowd::masked(b"3"))?;
            } else if let Some(due) = number(content).and_then(|number| run.due.get(number)) {
                let late = now.saturating_duration_since(*due).as_micros();
                run.late.push(u32::try_from(late).unwrap_or(u32::MAX));
            }
            begin += head + len;
        }
        self.rest.drain(..begin);
        Ok(())
    }
}

/// The lengths of the head and of the content of a frame that is whole.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (head, len) = match bytes {
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 126, ..] | [] | [_] => return None,
        // The servers send nothing that is longer.
        [_, len, ..] => (2, usize::from(*len)),
    };
    (bytes.len() >= head + len).then_some((head, len))
}

/// The number of a message that everyone is told.
fn number(content: &[u8]) -> Option<usize> {
    if !content.starts_with(b"42[\"message:new\"") {
        return None;
    }
    let at = content.windows(MARK.len()).position(|bytes| bytes == MARK)?;
    let digits = content[at + MARK.len()..].split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_its_number() {
        let text = br##"42["message:new",{"id":"1-7","room":"bench","content":"#17 xxx"},"9"]"##;
        assert_eq!(number(text), Some(17));
        assert_eq!(number(br##"42["typing",{"content":"#17 "}]"##), None);
        let mut bytes = vec![0x81, 126, 0, u8::try_from(text.len()).expect("short")];
        bytes.extend(text);
        assert_eq!(frame(&bytes), Some((4, text.len())));
        assert_eq!(frame(&bytes[..bytes.len() - 1]), None);
        assert_eq!(frame(&[0x81, 1, b'2', 0x81]), Some((2, 1)));
    }

    #[test]
    fn percentiles_are_of_what_came() {
        let run = Run { due: Vec::new(), late: (1..=1_000).rev().map(|n| n * 1_000).collect() };
        let heard = run.heard(1_002, 2.0);
        assert_eq!((heard.p50, heard.p99, heard.max), (501.0, 991.0, 1000.0));
        assert_eq!((heard.rate, heard.lost), (500.0, 2));
    }
}
