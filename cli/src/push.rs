//! A run's figures pushed to other systems while it goes on. In: the events of the run, on their
//! way to whoever follows it. Out: one POST per interval and receiver; a warning where that fails,
//! which never ends the run. What the bodies say is left to `reports`.

use crate::output::Output;
use crate::web::Endpoint;
use clap::Args;
use ebbtide_record::{Body, Event};
use ebbtide_reports::push::{Series, otlp, remote_write};
use hyper::Method;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Bodies that may wait for a slow receiver: half a minute of a run. What is more is dropped.
const WAITING_MAX: usize = 30;

/// Attempts at one body.
const ATTEMPTS: u32 = 4;

/// Wait before the second attempt; it doubles from there.
const BACKOFF: Duration = Duration::from_millis(250);

/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(5);

/// How long the end of a run waits for what is still to be pushed.
const FAREWELL: Duration = Duration::from_secs(10);

/// Receivers of a run's figures.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Pushing {
    /// Push the figures of each second: `prometheus=URL` (remote write) or `otlp=URL`; repeatable
    #[arg(long, value_name = "KIND=URL", value_parser = wanted, help_heading = "Results")]
    push: Vec<Receiving>,
}

/// One receiver.
#[derive(Clone, Debug)]
struct Receiving {
    kind: Kind,
    url: String,
    endpoint: Endpoint,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Prometheus,
    Otlp,
}

/// A receiver as it is typed.
fn wanted(text: &str) -> Result<Receiving, String> {
    let example = "write `prometheus=http://127.0.0.1:9090` or `otlp=http://127.0.0.1:4318`";
    let (kind, url) = text.split_once('=').ok_or(example)?;
    let (kind, path) = match kind {
        "prometheus" => (Kind::Prometheus, remote_write::PATH),
        "otlp" => (Kind::Otlp, otlp::PATH),
        _ => return Err(format!("`{kind}` is no receiver: {example}")),
    };
    let endpoint = Endpoint::of(url)?.or_path(path);
    Ok(Receiving { kind, url: url.to_owned(), endpoint })
}

/// What is pushed in the background.
#[derive(Default)]
pub(crate) struct Pushers {
    tasks: JoinSet<()>,
}

impl Pushing {
    /// Passes the events on, and pushes what they say on the way. Without a receiver they are
    /// handed back as they are.
    pub(crate) fn on_the_way(
        &self,
        mut events: Receiver<Event>,
        output: Output,
    ) -> (Receiver<Event>, Pushers) {
        let mut pushers = Pushers::default();
        if self.push.is_empty() {
            return (events, pushers);
        }
        let (onward, passed) = crate::follow::channel();
        let queues: Vec<(Kind, Sender<Vec<u8>>, usize)> = self
            .push
            .iter()
            .map(|receiver| {
                let (queue, bodies) = mpsc::channel(WAITING_MAX);
                pushers.tasks.spawn(push_all(receiver.clone(), bodies, output));
                (receiver.kind, queue, 0)
            })
            .collect();
        pushers.tasks.spawn(async move {
            let (mut queues, mut series) = (queues, Series::default());
            while let Some(event) = events.recv().await {
                offer(&mut series, &mut queues, &event);
                // Whoever followed may have left; the figures are pushed all the same.
                let _ = onward.send(event).await;
            }
            for (kind, _, dropped) in queues.iter().filter(|(_, _, dropped)| *dropped > 0) {
                output.say(&format!(
                    "warning: {dropped} intervals were not pushed to {kind:?}, which was too slow \
                     (the run's folder has them all)"
                ));
            }
        });
        (passed, pushers)
    }
}

fn offer(series: &mut Series, queues: &mut [(Kind, Sender<Vec<u8>>, usize)], event: &Event) {
    match &event.body {
        Body::RunStarted(started) => series.begin(started),
        Body::Interval(interval) => {
            let samples = series.add(interval);
            let at = series.run().started_unix_ms + event.t_ms;
            for (kind, queue, dropped) in queues {
                let body = match kind {
                    Kind::Prometheus => remote_write::body(series.run(), &samples, at),
                    Kind::Otlp => otlp::body(series.run(), &samples, at),
                };
                *dropped += usize::from(queue.try_send(body).is_err());
            }
        }
        _ => {}
    }
}

/// Pushes bodies one after another, and tells the first failure and their number at the end.
async fn push_all(receiver: Receiving, mut bodies: Receiver<Vec<u8>>, output: Output) {
    let headers: &[(&str, &str)] = match receiver.kind {
        Kind::Prometheus => &remote_write::HEADERS,
        Kind::Otlp => &otlp::HEADERS,
    };
    let (mut failed, mut all) = (0_u32, 0_u32);
    while let Some(body) = bodies.recv().await {
        all += 1;
        if let Err(why) = push(&receiver.endpoint, headers, &body).await {
            failed += 1;
            if failed == 1 {
                output.say(&format!(
                    "warning: `{}` did not take the run's figures: {why} (the run goes on; check \
                     the address, and that it receives them)",
                    receiver.url
                ));
            }
        }
    }
    if failed > 0 {
        let url = &receiver.url;
        output.say(&format!("warning: {failed} of {all} intervals were not pushed to `{url}`"));
    }
}

/// Pushes one body; what may pass is tried again.
async fn push(endpoint: &Endpoint, headers: &[(&str, &str)], body: &[u8]) -> Result<(), String> {
    let mut wait = BACKOFF;
    let mut why = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(wait).await;
            wait *= 2;
        }
        why = match endpoint.ask(Method::POST, headers, body.to_vec(), WITHIN).await {
            Ok((200..=299, _)) => return Ok(()),
            Ok((status @ (429 | 500..), _)) => format!("status {status}"),
            // Nothing that is sent again would be taken.
            Ok((status, reply)) => {
                let reply = String::from_utf8_lossy(&reply);
                let first = reply.lines().next().unwrap_or_default();
                return Err(format!("status {status}: {first}").trim_end_matches(": ").to_owned());
            }
            Err(why) => why,
        };
    }
    Err(why)
}

impl Pushers {
    /// Waits until all is pushed, but not for ever.
    pub(crate) async fn finish(mut self, output: Output) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            output.say("warning: the last figures were not pushed in time");
        }
    }
}
