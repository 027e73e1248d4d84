//! A scripted HTTP server for tests: each request is answered by a function, byte for byte as it
//! says, on plain threads.
//!
//! In: the function. Out: its address, and every request it saw.

#![allow(clippy::unwrap_used, dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Head with its line ends, the empty line left out.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub(crate) connection: u64,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What is done after a request.
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Bytes(Vec<u8>),
    /// Each piece in a write of its own, with the client given time to read it.
    Pieces(Vec<Vec<u8>>),
    /// The same, and the connection is closed.
    LastPieces(Vec<Vec<u8>>),
    /// These bytes, and the connection is closed.
    Last(Vec<u8>),
    /// These bytes again and again, until the client goes.
    Endless(Vec<u8>, Vec<u8>),
}

/// A reply with a body.
pub(crate) fn plain(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut out = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
        .into_bytes();
    out.extend_from_slice(body);
    Reply::Bytes(out)
}

/// The server.
pub(crate) struct Web {
    pub(crate) base: String,
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Web {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let count = AtomicU64::new(0);
        // It ends with the process, as the tests of one file do.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let connection = count.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || serve(stream, connection, &log, &*answer));
            }
        });
        Self { base: format!("http://{address}"), address, seen }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    connection: u64,
    log: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Reply,
) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(mut request) = read(&mut stream, &mut buffer) {
        request.connection = connection;
        log.lock().unwrap().push(request.clone());
        let written = match answer(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes),
            Reply::Pieces(pieces) => pieces.iter().try_for_each(|piece| {
                // The next piece is sent once the kernel has handed over the last one, so that
                // the client sees them apart.
                stream.write_all(piece).inspect(|()| std::thread::yield_now())
            }),
            Reply::LastPieces(pieces) => {
                for piece in &pieces {
                    let _ = stream.write_all(piece);
                    std::thread::yield_now();
                }
                return;
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
            Reply::Endless(first, again) => {
                let mut written = stream.write_all(&first);
                while written.is_ok() {
                    written = stream.write_all(&again);
                }
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let mut chunk = [0; 64 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end + 2]).into_owned();
            let mut words = head.split(' ');
            let method = words.next().unwrap_or_default().to_owned();
            let path = words.next().unwrap_or_default().to_owned();
            let mut request = Request { method, path, head, ..Request::default() };
            let length: usize =
                request.header("content-length").map_or(0, |it| it.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                request.body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some(request);
            }
        }
        match stream.read(&mut chunk) {
            Ok(size) if size > 0 => buffer.extend_from_slice(&chunk[..size]),
            _ => return None,
        }
    }
}
