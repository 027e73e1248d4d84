//! One HTTP exchange of our own, apart from any load: a document fetched, figures pushed. In: a
//! URL, headers and a body. Out: status and body of the reply, or in words why there is none.
//! HTTP/1.1 without TLS; whether to try again is left to the caller.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A reply is read up to here: an API's document is seldom a tenth of it.
const REPLY_MAX: usize = 32 * 1024 * 1024;

/// Where an exchange goes.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    authority: String,
    path: String,
}

impl Endpoint {
    /// Of a URL.
    ///
    /// # Errors
    ///
    /// When it is none that is spoken here, with the cure.
    pub(crate) fn of(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| format!("`{url}` is not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(format!(
                    "`{url}`: https is not spoken here: use the plain port, or a proxy beside it"
                ));
            }
            _ => return Err(format!("`{url}` must begin with `http://`")),
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("`{url}` names no host"))?;
        Ok(Self {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// The same with another path, unless the URL has one.
    pub(crate) fn or_path(mut self, path: &str) -> Self {
        if self.path == "/" {
            path.clone_into(&mut self.path);
        }
        self
    }

    /// Asks once: status and body of the reply.
    ///
    /// # Errors
    ///
    /// Why there is no reply.
    pub(crate) async fn ask(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        within: Duration,
    ) -> Result<(u16, Vec<u8>), String> {
        let exchange = self.exchange(method, headers, body);
        timeout(within, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs_f64())))
    }

    async fn exchange(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), String> {
        let stream = TcpStream::connect(&self.authority).await.map_err(words)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("ebb/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(words)?;
        let reply = sender.send_request(request).await.map_err(words)?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), REPLY_MAX).collect().await;
        driver.abort();
        Ok((status, body.map_err(words)?.to_bytes().to_vec()))
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
