//! A target that does as little as a server can: a fixed short body over HTTP/1.1 keep-alive,
//! one thread. For measuring what a load generator itself costs, and, with delays that it knows
//! and writes down, what its figures are worth.
//!
//! In: a port (0 for a free one); then, if wanted, `fixed:20ms` or `bimodal:5ms:50ms:0.1` (one in
//! ten takes long). Out: the port on standard output, then replies for ever. With delays, `/log`
//! answers with a line `arrived_us took_us` for each request so far, as this process saw it, and
//! begins anew.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!";

/// Requests written down at most: a minute at 40,000 a second.
const LOG_MAX: usize = 2_400_000;

/// Delays, and what became of them.
struct Log {
    began: Instant,
    short: Duration,
    long: Duration,
    /// One in so many takes long; 0 for none.
    one_in: u64,
    count: Cell<u64>,
    lines: RefCell<Vec<(u64, u64)>>,
}

#[allow(clippy::print_stdout)]
fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let log = match std::env::args().nth(2) {
        Some(text) => Some(Rc::new(delays(&text).ok_or(io::ErrorKind::InvalidInput)?)),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            match &log {
                None => tokio::task::spawn_local(serve(stream)),
                Some(log) => tokio::task::spawn_local(serve_late(stream, Rc::clone(log))),
            };
        }
    })
}

fn delays(text: &str) -> Option<Log> {
    let parts: Vec<&str> = text.split(':').collect();
    let ms = |text: &str| {
        Some(Duration::from_secs_f64(text.strip_suffix("ms")?.parse::<f64>().ok()? / 1e3))
    };
    let (short, long, one_in) = match parts.as_slice() {
        ["fixed", delay] => (ms(delay)?, Duration::ZERO, 0),
        ["bimodal", short, long, share] => {
            (ms(short)?, ms(long)?, (1.0 / share.parse::<f64>().ok()?).round() as u64)
        }
        _ => return None,
    };
    let (count, lines) = (Cell::new(0), RefCell::default());
    Some(Log { began: Instant::now(), short, long, one_in, count, lines })
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    let mut end = 0;
    loop {
        match stream.read(&mut buffer[end..]).await {
            Ok(read) if read > 0 => end += read,
            _ => return,
        }
        if buffer[..end].ends_with(b"\r\n\r\n") {
            let requests = buffer[..end].windows(4).filter(|bytes| *bytes == b"\r\n\r\n").count();
            if stream.write_all(&REPLY.repeat(requests)).await.is_err() {
                return;
            }
            end = 0;
        } else if end == buffer.len() {
            return;
        }
    }
}

/// One request at a time, each with its delay.
async fn serve_late(mut stream: TcpStream, log: Rc<Log>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut end = 0;
    loop {
        match stream.read(&mut buffer[end..]).await {
            Ok(read) if read > 0 => end += read,
            _ => return,
        }
        if !buffer[..end].ends_with(b"\r\n\r\n") {
            continue;
        }
        let arrived = log.began.elapsed();
        let reply = if buffer.starts_with(b"GET /log ") {
            log.told()
        } else {
            log.wait().await;
            REPLY.to_vec()
        };
        if stream.write_all(&reply).await.is_err() {
            return;
        }
        let took = log.began.elapsed() - arrived;
        if log.lines.borrow().len() < LOG_MAX && !buffer.starts_with(b"GET /log ") {
            log.lines.borrow_mut().push((arrived.as_micros() as u64, took.as_micros() as u64));
        }
        end = 0;
    }
}

impl Log {
    async fn wait(&self) {
        let count = self.count.get();
        self.count.set(count + 1);
        // Spread over the requests without a pattern that connections could follow.
        let draw = count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let long = self.one_in > 0 && draw.is_multiple_of(self.one_in);
        let delay = if long { self.long } else { self.short };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    fn told(&self) -> Vec<u8> {
        let mut body = String::new();
        for (arrived, took) in self.lines.take() {
            // Writing to a string cannot fail.
            let _ = writeln!(body, "{arrived} {took}");
        }
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}
