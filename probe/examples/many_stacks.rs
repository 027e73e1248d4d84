//! A server whose heap has as many stacks as it is told, for measuring what a dump of them does to
//! requests under way (`cargo xtask bench dump`).
//! In: the number of stacks, 2^20 at most; the probe's variables. Out: one line
//! `listening on ADDRESS`, then 16 objects and a reply of 2 bytes for whatever ends in an empty
//! line, a thread for each connection.

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;

/// Bytes kept at each stack: sampled almost surely up to lg 16. Nobody touches them.
const KEPT_BYTES: usize = 256 << 10;

/// Calls by which stacks differ: two functions in 2^20 orders.
const LEVELS: u32 = 20;

/// What a request allocates.
const OBJECTS: usize = 16;
const OBJECT_BYTES: usize = 1_024;

/// Requests are short.
const REQUEST_MAX: usize = 4_096;

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn main() -> Result<(), Box<dyn Error>> {
    let stacks: u32 = std::env::args().nth(1).ok_or("how many stacks?")?.parse()?;
    let _probe = ebbtide_probe::start()?;
    let kept: Vec<Vec<u8>> = (0..stacks.min(1 << LEVELS)).map(|path| even(path, LEVELS)).collect();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A connection that breaks is the other side's to count.
        std::thread::spawn(move || answer(stream));
    }
    drop(kept);
    Ok(())
}

/// Allocates at the end of a chain of calls that the bits of `path` choose.
#[inline(always)]
fn chosen(path: u32, left: u32) -> Vec<u8> {
    match (left, path & 1) {
        (0, _) => Vec::with_capacity(KEPT_BYTES),
        (_, 0) => even(path >> 1, left - 1),
        _ => odd(path >> 1, left - 1),
    }
}

// What they give goes through `black_box`, so that no call becomes a jump.
#[inline(never)]
fn even(path: u32, left: u32) -> Vec<u8> {
    black_box(chosen(path, left))
}

#[inline(never)]
fn odd(path: u32, left: u32) -> Vec<u8> {
    black_box(chosen(black_box(path), left))
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; REQUEST_MAX];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            let objects: Vec<Vec<u8>> = (0..OBJECTS).map(|_| vec![1; OBJECT_BYTES]).collect();
            black_box(&objects);
            stream.write_all(REPLY)?;
        }
    }
}
