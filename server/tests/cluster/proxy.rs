//! A proxy in front of several processes, as a cluster has one: each client stays with one of them
//! by a cookie, and goes to another when that one does not answer.
//! In: connections. Out: the same to a process; the cookie in the first answer.
//! HTTP connections end with their first answer, since clients share them; WebSockets go on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

const COOKIE: &str = "process=";

/// The ports behind it, and whose turn it is.
struct Behind {
    ports: Vec<u16>,
    next: AtomicUsize,
}

/// Starts a proxy that lives as long as the test; its port.
pub fn start(ports: Vec<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let behind = Arc::new(Behind { ports, next: AtomicUsize::new(0) });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let behind = behind.clone();
            thread::spawn(move || {
                let Ok(mut stream) = stream else { return };
                // Who goes away in the middle is no matter of the proxy; the other end is to know.
                let _ = carry(&mut stream, &behind);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

fn carry(client: &mut TcpStream, behind: &Behind) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let head = read_head(client)?;
    let is_upgrade = head.to_lowercase().contains("upgrade: websocket");
    let wanted = head.split(COOKIE).nth(1).and_then(|rest| rest.chars().next()?.to_digit(10));
    let (number, mut process) = behind.reach(wanted.map(|number| number as usize))?;
    process.set_nodelay(true)?;
    let mut lines = head.split_inclusive("\r\n");
    process.write_all(lines.next().unwrap_or_default().as_bytes())?;
    if !is_upgrade {
        process.write_all(b"Connection: close\r\n")?;
    }
    for line in lines {
        if is_upgrade || !line.to_lowercase().starts_with("connection:") {
            process.write_all(line.as_bytes())?;
        }
    }
    let (mut from, mut to) = (client.try_clone()?, process.try_clone()?);
    thread::spawn(move || {
        // Either end may go first.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let answer = read_head(&mut process)?;
    let (status, rest) = answer.split_once("\r\n").unwrap_or((&answer, ""));
    let cookie = format!("{status}\r\nSet-Cookie: {COOKIE}{number}; Path=/\r\n{rest}");
    client.write_all(cookie.as_bytes())?;
    std::io::copy(&mut process, client).map(drop)
}

impl Behind {
    /// The process that is wanted, or the next that answers.
    fn reach(&self, wanted: Option<usize>) -> std::io::Result<(usize, TcpStream)> {
        let first = wanted.unwrap_or_else(|| self.next.fetch_add(1, Relaxed));
        let turns = (0..self.ports.len()).map(|turn| (first + turn) % self.ports.len());
        let mut reached = turns.filter_map(|number| {
            let stream = TcpStream::connect(("127.0.0.1", self.ports[number])).ok()?;
            Some((number, stream))
        });
        reached.next().ok_or_else(|| ErrorKind::ConnectionRefused.into())
    }
}

/// The head of a request or an answer, byte by byte: nothing behind it is taken.
fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
