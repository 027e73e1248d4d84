//! The clients of `cargo xtask bench server`: many in one room, of which one speaks.
//!
//! Comes in: port and process of a server, how many clients, how long, how many messages in
//! flight. Goes out: for each number in flight a line with what was delivered. One thread and
//! epoll; only frames are counted, so that the crowd is quick enough for the server.

use super::Measured;
use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The room of all.
pub(in crate::bench) const ROOM: &str = "bench";

/// Bytes of each message's content.
const CONTENT: usize = 64;

/// What a server may take to deliver what is left; beyond it, that is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Events taken at once.
const EVENTS: usize = 256;

/// How a server is warmed up before it is measured.
const WARM_UP: Duration = Duration::from_millis(700);

/// Ticks of `/proc/PID/stat` in a second; Linux has told programs 100 on every machine since 2.6.
const TICKS: f64 = 100.0;

/// A line of ours, read again.
pub(super) fn read_line(line: &str) -> Option<Measured> {
    let mut words = line.split_whitespace();
    Some(Measured {
        in_flight: words.next()?.parse().ok()?,
        per_cpu_second: words.next()?.parse().ok()?,
        rate: words.next()?.parse().ok()?,
        lost: words.next()?.parse().ok()?,
    })
}

/// Runs the crowd: `PORT PID CLIENTS SECONDS IN_FLIGHT...`; prints a line for each flight.
///
/// # Errors
/// When the server cannot be reached or closes a connection.
pub(crate) fn crowd(words: &[&str]) -> Result<()> {
    let number = |index: usize| -> Result<u32> {
        let word = words.get(index).context("PORT PID CLIENTS SECONDS IN_FLIGHT...")?;
        word.parse().with_context(|| format!("`{word}` is no number"))
    };
    let port = u16::try_from(number(0)?)?;
    let (pid, clients) = (number(1)?, number(2)?);
    let time = Duration::from_secs(number(3)?.into());
    let mut crowd = Crowd::gather(port, clients)?;
    for index in 4..words.len() {
        let in_flight = number(index)?;
        crowd.speak(in_flight, WARM_UP)?;
        let (cpu, start, before) = (cpu_seconds(pid)?, Instant::now(), crowd.delivered);
        let lost = crowd.speak(in_flight, time)?;
        let took =
            start.elapsed().as_secs_f64() - if lost > 0 { PATIENCE.as_secs_f64() } else { 0. };
        let cpu = cpu_seconds(pid)? - cpu;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        let delivered = (crowd.delivered - before) as f64;
        println!("{in_flight} {} {} {lost}", delivered / cpu, delivered / took);
    }
    Ok(())
}

/// CPU time of a process so far, user and system, all threads.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the server")?;
    // The name, in parentheses, may have spaces; fields 14 and 15 count from it.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(), ticks()) else { bail!("`/proc/{pid}/stat`") };
    Ok((user + system) / TICKS)
}

/// All clients; the first one speaks.
struct Crowd {
    clients: Vec<Client>,
    poll: OwnedFd,
    buffer: Vec<u8>,
    said: u64,
    delivered: u64,
}

/// One client: its connection, and what of the next frame is to come.
struct Client {
    stream: TcpStream,
    /// The head of a frame of which not all has come.
    head: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    skip: usize,
}

impl Crowd {
    /// Connects all clients and lets them into the room.
    fn gather(port: u16, count: u32) -> Result<Crowd> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Vec::new();
        for key in 0..count {
            let client = Client::connect(port).context("a client")?;
            epoll::add(&poll, &client.stream, EventData::new_u64(key.into()), EventFlags::IN)?;
            clients.push(client);
        }
        Ok(Crowd { clients, poll, buffer: vec![0; READ_BYTES], said: 0, delivered: 0 })
    }

    /// Keeps so many messages in flight for so long, and waits until all have come. Gives how many
    /// deliveries never did.
    fn speak(&mut self, in_flight: u32, time: Duration) -> Result<u64> {
        let everyone = self.clients.len() as u64;
        let content = "x".repeat(CONTENT);
        let text = format!(r#"42["message:send",{{"room":"{ROOM}","content":"{content}"}}]"#);
        let frame = masked(text.as_bytes());
        let (start, mut progress) = (Instant::now(), Instant::now());
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let is_over = start.elapsed() >= time;
            let open = self.said * everyone - self.delivered;
            if is_over && open == 0 {
                return Ok(0);
            }
            // A message is in flight until the last one has it.
            let free = u64::from(in_flight).saturating_sub(open.div_ceil(everyone));
            if !is_over && free > 0 {
                let batch = frame.repeat(usize::try_from(free)?);
                self.clients[0].stream.write_all(&batch)?;
                self.said += free;
            }
            events.clear();
            let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            epoll::wait(&self.poll, spare_capacity(&mut events), Some(&wait))?;
            let before = self.delivered;
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                self.delivered += self.clients[index].read(&mut self.buffer)?;
            }
            if self.delivered > before {
                progress = Instant::now();
            } else if progress.elapsed() > PATIENCE {
                let lost = self.said * everyone - self.delivered;
                self.delivered += lost;
                return Ok(lost);
            }
        }
    }
}

impl Client {
    /// Connects over WebSocket, enters the main namespace and the room.
    fn connect(port: u16) -> Result<Client> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        await_head(&mut stream)?;
        await_frame(&mut stream, b"0{")?;
        stream.write_all(&masked(b"40"))?;
        await_frame(&mut stream, b"40{")?;
        let join = format!(r#"420["room:join",{{"room":"{ROOM}"}}]"#);
        stream.write_all(&masked(join.as_bytes()))?;
        await_frame(&mut stream, b"430[")?;
        stream.set_nonblocking(true)?;
        Ok(Client { stream, head: Vec::new(), skip: 0 })
    }

    /// Reads what has come; gives how many messages of the room ended in it.
    fn read(&mut self, buffer: &mut [u8]) -> Result<u64> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).context("a client"),
        };
        self.take(&buffer[..read])
    }

    /// Counts the frames that end in these bytes and are events; answers pings.
    fn take(&mut self, bytes: &[u8]) -> Result<u64> {
        let mut rest = bytes;
        let mut events = 0;
        loop {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = &rest[skipped..];
            if rest.is_empty() {
                return Ok(events);
            }
            // Two bytes of head, two of length when it is long, two of content: enough to tell.
            self.head.push(rest[0]);
            rest = &rest[1..];
            let Some((len, content)) = content_of(&self.head) else { continue };
            let wanted = len.min(2);
            if content.len() < wanted {
                continue;
            }
            events += u64::from(content.starts_with(b"42"));
            let is_ping = content == b"2" && len == 1;
            self.skip = len - content.len();
            self.head.clear();
            if is_ping {
                self.stream.write_all(&masked(b"3"))?;
            }
        }
    }
}

/// A connection over WebSocket, in the main namespace and the room.
///
/// # Errors
/// When the server cannot be reached.
pub(in crate::bench) fn enter(port: u16) -> Result<TcpStream> {
    Client::connect(port).map(|client| client.stream)
}

/// The length of the frame that begins here, and what there is of its content; none while its head
/// is not whole.
fn content_of(head: &[u8]) -> Option<(usize, &[u8])> {
    match head {
        [_, 126, high, low, content @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), content))
        }
        [_, 126, ..] | [] | [_] => None,
        // The servers send nothing that is longer.
        [_, len, content @ ..] => Some((usize::from(*len), content)),
    }
}

/// A text of a client, with the mask 0, shorter than 64 KiB.
pub(in crate::bench) fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(len) if len < 126 => frame.push(0x80 | len),
        _ => {
            frame.push(0x80 | 126);
            let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// Reads the head of an answer of HTTP, byte by byte: nothing behind it is taken.
fn await_head(stream: &mut TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("the handshake")?;
        head.push(byte[0]);
    }
    Ok(())
}

/// Reads frames until one begins so.
fn await_frame(stream: &mut TcpStream, wanted: &[u8]) -> Result<()> {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).context("an answer")?;
        let mut len = usize::from(head[1]);
        if len == 126 {
            stream.read_exact(&mut head).context("an answer")?;
            len = usize::from(u16::from_be_bytes(head));
        }
        let mut content = vec![0; len];
        stream.read_exact(&mut content).context("an answer")?;
        if content.starts_with(wanted) {
            return Ok(());
        }
        // socketioxide asks for a sign of life at once.
        if content == b"2" {
            stream.write_all(&masked(b"3"))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_line_is_read_again() {
        let expected = Measured { in_flight: 8, per_cpu_second: 1000.5, rate: 900.0, lost: 3 };
        assert_eq!(read_line("8 1000.5 900 3"), Some(expected));
        assert_eq!(read_line("8 x"), None);
    }

    #[test]
    fn events_are_counted_however_they_are_cut() {
        let long = format!("42[\"message:new\",\"{}\"]", "x".repeat(200));
        let mut bytes = Vec::new();
        for text in ["42[1]", "40{}", &long, "42"] {
            let frame = masked(text.as_bytes());
            let head = if text.len() < 126 { 2 } else { 4 };
            bytes.extend([frame[0], frame[1] & 0x7F]);
            bytes.extend(&frame[2..head]);
            bytes.extend(text.as_bytes());
        }
        for size in [1, 2, 3, 7, bytes.len()] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let stream = TcpStream::connect(address).expect("a connection");
            let mut client = Client { stream, head: Vec::new(), skip: 0 };
            let events = bytes.chunks(size).map(|part| client.take(part).expect("taken"));
            assert_eq!(events.sum::<u64>(), 3, "{size}");
        }
    }
}
