//! The Chrome DevTools Protocol over a WebSocket: calls by number, their answers, and one kind of
//! event, the pieces of a heap snapshot. In: an address. Out: answers as JSON, unread. One task
//! owns the socket; callers hold a bounded channel to it. What is called is left to `session`.
//!
//! Protocol: <https://chromedevtools.github.io/devtools-protocol/v8/>.

use super::super::SourceError;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Time to connect and to shake hands. Targets are on this machine or next to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time to take leave: the target's own thread for this answers even when the main one is busy.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);

/// Calls that wait to be sent: a session has one at a time, and the census beside it.
const CALLS_MAX: usize = 16;

/// Largest message: the sampling profile of a heap of some GB at 16 KiB has some 20 MB.
const MESSAGE_MAX: usize = 128 << 20;

/// Bytes read at once: pieces of snapshots have some 100 KB.
const READ_BUFFER: usize = 256 << 10;

/// Pieces of a snapshot that wait to be written, some 100 KB each.
pub(super) const PIECES_MAX: usize = 32;

/// Who is called.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    calls: mpsc::Sender<Call>,
    /// `ws://127.0.0.1:9229/id`, as errors name it.
    url: String,
}

/// What the task is asked to do.
enum Call {
    Method {
        method: &'static str,
        params: serde_json::Value,
        answer: oneshot::Sender<Result<Box<RawValue>, String>>,
    },
    /// Where pieces of a snapshot go from now on.
    Pieces(Option<mpsc::Sender<String>>),
    /// What is evaluated once; nobody waits for its answer.
    Say(String),
    /// What is evaluated again and again from now on, and how often; nobody waits for its answers.
    Renew(&'static str, Duration),
    /// Nothing more is asked.
    HangUp,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refusal>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[derive(Deserialize)]
struct Piece {
    chunk: String,
}

impl Wire {
    /// Connects to `host:port` and a path there.
    pub(super) async fn connect(authority: &str, path: &str) -> Result<Self, SourceError> {
        let url = format!("ws://{authority}{path}");
        let lost = |reason: String| SourceError::Unreachable { url: url.clone(), reason };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX))
            .read_buffer_size(READ_BUFFER);
        let connecting = async {
            let stream = TcpStream::connect(authority).await.map_err(|e| lost(e.to_string()))?;
            let shaken = client_async_with_config(url.as_str(), stream, Some(config)).await;
            shaken.map(|(socket, _)| socket).map_err(|error| lost(error.to_string()))
        };
        let socket = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(socket) => socket?,
            Err(_) => return Err(lost("no answer to the connection".to_owned())),
        };
        let (calls, waiting) = mpsc::channel(CALLS_MAX);
        tokio::spawn(serve(socket, waiting));
        Ok(Self { calls, url })
    }

    /// Calls a method and gives its result, as it came.
    pub(super) async fn call(
        &self,
        method: &'static str,
        params: serde_json::Value,
        within: Duration,
    ) -> Result<Box<RawValue>, SourceError> {
        let (answer, answered) = oneshot::channel();
        let gone = || SourceError::Unreachable {
            url: self.url.clone(),
            reason: "the connection to the inspector was closed".to_owned(),
        };
        let asking = async {
            let call = Call::Method { method, params, answer };
            self.calls.send(call).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())
        };
        match tokio::time::timeout(within, asking).await {
            Ok(answer) => answer?.map_err(|reason| SourceError::Answer {
                url: self.url.clone(),
                reason: format!("`{method}`: {reason}"),
            }),
            Err(_) => Err(SourceError::TimedOut {
                what: format!("`{method}` of the inspector at `{}`", self.url),
                after_s: within.as_secs(),
            }),
        }
    }

    /// Lets pieces of a snapshot go to a channel, or nowhere.
    pub(super) async fn pieces_to(&self, sink: Option<mpsc::Sender<String>>) {
        // A task that is gone sends no pieces.
        let telling = self.calls.send(Call::Pieces(sink));
        let _ = tokio::time::timeout(HANG_UP_WITHIN, telling).await;
    }

    /// Lets a text be evaluated, whenever the target comes to it.
    pub(super) async fn say(&self, text: String) {
        let saying = self.calls.send(Call::Say(text));
        let _ = tokio::time::timeout(HANG_UP_WITHIN, saying).await;
    }

    /// Lets a text be evaluated again and again for as long as the connection lasts.
    pub(super) async fn renew(&self, text: &'static str, every: Duration) {
        // A task that is gone holds no lease either.
        let _ = self.calls.send(Call::Renew(text, every)).await;
    }

    /// Closes the connection.
    pub(super) async fn hang_up(&self) {
        let hanging_up = async {
            // It may be closed already.
            let _ = self.calls.send(Call::HangUp).await;
            self.calls.closed().await;
        };
        // One that does not take leave is left without.
        let _ = tokio::time::timeout(HANG_UP_WITHIN, hanging_up).await;
    }

    /// The address, as errors name it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

type Waiting = HashMap<u64, oneshot::Sender<Result<Box<RawValue>, String>>>;

/// Sends calls and hands out answers until nobody calls any more, or the target closes.
async fn serve(mut socket: WebSocketStream<TcpStream>, mut calls: mpsc::Receiver<Call>) {
    let mut waiting = Waiting::new();
    let mut sink: Option<mpsc::Sender<String>> = None;
    let mut last = 0_u64;
    let mut renewal: Option<(&'static str, tokio::time::Interval)> = None;
    loop {
        tokio::select! {
            text = due(&mut renewal) => {
                last += 1;
                if socket.send(Message::text(evaluation(last, text))).await.is_err() {
                    return;
                }
            }
            call = calls.recv() => match call {
                None | Some(Call::HangUp) => break,
                Some(Call::Pieces(to)) => sink = to,
                Some(Call::Say(text)) => {
                    last += 1;
                    if socket.send(Message::text(evaluation(last, &text))).await.is_err() {
                        return;
                    }
                }
                Some(Call::Renew(text, every)) => {
                    let mut clock = tokio::time::interval(every);
                    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    renewal = Some((text, clock));
                }
                Some(Call::Method { method, params, answer }) => {
                    // Callers that gave up must not pile up.
                    waiting.retain(|_, answer| !answer.is_closed());
                    last += 1;
                    let text =
                        serde_json::json!({ "id": last, "method": method, "params": params });
                    waiting.insert(last, answer);
                    if socket.send(Message::text(text.to_string())).await.is_err() {
                        return;
                    }
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    // It has ended, and stays for as long as anybody is connected.
                    if take(text.as_str(), &mut waiting, &mut sink).await == Next::HangUp {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    // The target drops what the session had switched on; that it hears of it is all that matters.
    let _ = socket.close(None).await;
}

/// The text that is to be evaluated again, when it is time.
async fn due(renewal: &mut Option<(&'static str, tokio::time::Interval)>) -> &'static str {
    match renewal {
        Some((text, clock)) => {
            clock.tick().await;
            text
        }
        None => std::future::pending().await,
    }
}

fn evaluation(id: u64, text: &str) -> String {
    let params = serde_json::json!({
        "expression": text, "includeCommandLineAPI": true, "returnByValue": true, "silent": true,
    });
    serde_json::json!({ "id": id, "method": "Runtime.evaluate", "params": params }).to_string()
}

/// What a message asks of the connection.
#[derive(Debug, PartialEq)]
enum Next {
    Stay,
    HangUp,
}

async fn take(text: &str, waiting: &mut Waiting, sink: &mut Option<mpsc::Sender<String>>) -> Next {
    let Ok(message) = serde_json::from_str::<Incoming<'_>>(text) else { return Next::Stay };
    if let Some(answer) = message.id.and_then(|id| waiting.remove(&id)) {
        let result = match (message.result, message.error) {
            (_, Some(refusal)) => Err(refusal.message),
            (Some(result), None) => Ok(result.to_owned()),
            (None, None) => Err("an answer without a result".to_owned()),
        };
        let _ = answer.send(result);
    } else if message.method == Some("HeapProfiler.addHeapSnapshotChunk")
        && let (Some(params), Some(to)) = (message.params, sink.as_ref())
        && let Ok(piece) = serde_json::from_str::<Piece>(params.get())
        && to.send(piece.chunk).await.is_err()
    {
        *sink = None;
    } else if message.method == Some("NodeRuntime.waitingForDisconnect") {
        return Next::HangUp;
    }
    Next::Stay
}
