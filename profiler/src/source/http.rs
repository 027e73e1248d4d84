//! One exchange over plain HTTP/1.1, on a connection of its own. In: an address, a path, a
//! bearer token. Out: the body, up to a limit, within a time. What the body means is left to
//! the callers.

use super::SourceError;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// Time to connect. Targets are on this machine or next to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for a short answer, such as a census.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a snapshot: large heaps on loaded machines take seconds, and Go collects first.
pub(crate) const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a body. A compressed profile has a few MB.
const BODY_MAX: usize = 128 << 20;

/// Characters of an unexpected answer that are shown.
const SHOWN_MAX: usize = 120;

/// Someone who answers HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// `host:port`.
    pub(crate) authority: String,
    /// Sent as a bearer token.
    pub(crate) token: Option<String>,
}

impl Endpoint {
    /// Splits a URL into who is asked and what for.
    pub(crate) fn of(url: &str) -> Result<(Self, String), SourceError> {
        let wrong =
            |reason: &str| SourceError::Address { url: url.to_owned(), reason: reason.into() };
        let uri: Uri = url.parse().map_err(|_| wrong("this is no URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("https is not spoken here: use the plain port, or a tunnel"));
            }
            _ => return Err(wrong("it must begin with `http://`")),
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host"))?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok((Self { authority, token: None }, path))
    }

    /// Asks, and gives the body of the answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        within: Duration,
    ) -> Result<Vec<u8>, SourceError> {
        let url = format!("http://{}{path}", self.authority);
        match tokio::time::timeout(within, self.exchange(method, path, &url)).await {
            Ok(answer) => answer,
            Err(_) => Err(SourceError::TimedOut { what: url, after_s: within.as_secs() }),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        url: &str,
    ) -> Result<Vec<u8>, SourceError> {
        let lost = |reason: String| SourceError::Unreachable { url: url.to_owned(), reason };
        let connecting = TcpStream::connect(&self.authority);
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(stream) => stream.map_err(|error| lost(error.to_string()))?,
            Err(_) => return Err(lost("no answer to the connection".to_owned())),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| lost(error.to_string()))?;
        // Ends with the exchange: dropping the sender closes the connection.
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| SourceError::Address { url: url.into(), reason: error.to_string() })?;
        let answer = sender.send_request(request).await.map_err(|error| lost(error.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_MAX).collect().await;
        driver.abort();
        let body = body.map_err(|error| lost(error.to_string()))?.to_bytes();
        if !status.is_success() {
            return Err(SourceError::Refused {
                url: url.to_owned(),
                status: status.as_u16(),
                says: first_line(&body),
            });
        }
        Ok(body.into())
    }
}

fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(SHOWN_MAX).collect()
}
