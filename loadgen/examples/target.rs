//! A target that does as little as a server can: a fixed short body over HTTP/1.1 keep-alive,
//! one thread. For measuring what a load generator itself costs.
//!
//! In: a port (0 for a free one). Out: the port on standard output, then replies for ever.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!";

#[allow(clippy::print_stdout)]
fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream));
        }
    })
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    let mut end = 0;
    let _ = stream.set_nodelay(true);
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
