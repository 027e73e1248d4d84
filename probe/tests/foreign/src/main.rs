//! A shop with a leak of its own: each `POST /orders` keeps the order in a list that nothing ever
//! shortens; with `--mended` the list is a ring. Reads (`GET /orders`) keep nothing.
//! In: `--port N` (0 takes a free one), `--mended`. Out: one line `listening on ADDRESS`, then
//! HTTP until SIGTERM. The three lines of the probe: the dependency, the allocator, the start.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;

/// Orders that the mended list keeps.
const RING: usize = 256;

/// Bytes of one order's text.
const MAX_ORDER_BYTES: usize = 16 * 1_024;

/// One order, as taken.
struct Order {
    number: u64,
    text: Vec<u8>,
}

/// All orders: the leak, unless it is kept a ring.
static ORDERS: Mutex<VecDeque<Box<Order>>> = Mutex::new(VecDeque::new());

fn main() -> Result<(), Box<dyn Error>> {
    let _probe = ebbtide_probe::start()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mended = arguments.iter().any(|argument| argument == "--mended");
    let port = arguments.iter().position(|argument| argument == "--port");
    let port: u16 = match port {
        Some(at) => arguments.get(at + 1).ok_or("`--port` takes a number")?.parse()?,
        None => 0,
    };
    tokio::runtime::Runtime::new()?.block_on(serve(port, mended))
}

async fn serve(port: u16, mended: bool) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _peer) = accepted?;
                let service = hyper::service::service_fn(move |request| answer(request, mended));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        eprintln!("connection: {error}");
                    }
                });
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    mended: bool,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/ready") => (StatusCode::OK, "ready\n".to_owned()),
        (&Method::GET, "/orders") => (StatusCode::OK, latest()),
        (&Method::POST, "/orders") => {
            let body = Limited::new(request.into_body(), MAX_ORDER_BYTES).collect().await?;
            let number = take_order(body.to_bytes().to_vec(), mended);
            (StatusCode::CREATED, format!("order {number}\n"))
        }
        _ => (StatusCode::NOT_FOUND, "there are /ready and /orders\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

/// Keeps an order and returns its number.
fn take_order(text: Vec<u8>, mended: bool) -> u64 {
    let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let number = orders.back().map_or(1, |order| order.number + 1);
    if mended && orders.len() == RING {
        orders.pop_front();
    }
    orders.push_back(Box::new(Order { number, text }));
    number
}

/// The latest order, in words.
fn latest() -> String {
    let orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
    orders.back().map_or("no order yet\n".to_owned(), |order| {
        format!("order {} of {} bytes\n", order.number, order.text.len())
    })
}
