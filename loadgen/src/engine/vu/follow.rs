//! Where replies lead: cookies that they set, and redirects.
//!
//! In: a reply with its head. Out: the last reply of the chain, each of them a sample; what went
//! out with cookies. Nothing here is touched by flows that meet neither.

use super::Vu;
use crate::cookie::{Jar, Visit};
use crate::http::client::{Reply, Wanted};
use crate::plan::{HttpOp, Prepared};
use crate::recorder::Notice;
use crate::redirect::{self, Next};
use crate::sample::Failure;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

impl Vu {
    /// An exchange of a user who has cookies.
    #[cold]
    pub(super) async fn dressed_exchange(
        &mut self,
        op: &HttpOp,
        wanted: Wanted,
    ) -> (Result<Reply, Failure>, usize) {
        let request = match &op.request {
            Prepared::Static(bytes) => Cow::Borrowed(bytes.as_slice()),
            Prepared::Dynamic { head, body } => Cow::Owned(self.render(head, body.as_deref())),
        };
        let dressed = self.dressed(&request);
        let sent = dressed.as_deref().unwrap_or(&request);
        let result = self.http.exchange(sent, wanted, (&self.local, &self.watch)).await;
        let length = sent.len();
        if let Cow::Owned(request) = request {
            self.scratch = request;
        }
        (result, length)
    }

    /// A request with the user's cookies; none when there are none for it.
    pub(super) fn dressed(&self, request: &[u8]) -> Option<Vec<u8>> {
        let jar = self.jar.as_ref()?;
        jar.dress(request, &self.visit(request))
    }

    /// Adds the user's cookies to a head that lacks its end.
    pub(super) fn dress_handshake(&self, head: &mut Vec<u8>) {
        if self.jar.is_some() {
            head.extend_from_slice(b"\r\n");
            if let Some(dressed) = self.dressed(head) {
                *head = dressed;
            }
            head.truncate(head.len() - 2);
        }
    }

    fn visit<'v>(&'v self, request: &'v [u8]) -> Visit<'v> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Visit {
            host: &self.plan.address.host,
            path: request.split(|byte| *byte == b' ').nth(1).unwrap_or_default(),
            secure: self.plan.base.starts_with("https:") || self.plan.base.starts_with("wss:"),
            now: since.as_secs() as i64,
        }
    }

    /// The request that was sent last for an instruction, without the jar's cookies.
    #[cold]
    pub(super) fn last_request(&self, op: &HttpOp) -> Vec<u8> {
        match &op.request {
            Prepared::Static(bytes) => bytes.clone(),
            Prepared::Dynamic { .. } => self.scratch.clone(),
        }
    }

    /// Keeps the cookies of a reply, and follows it where it leads. Gives the last reply of the
    /// chain, and when its request went out.
    #[cold]
    pub(super) async fn follow(
        &mut self,
        op: &HttpOp,
        mut request: Vec<u8>,
        (mut reply, mut start): (Reply, u64),
    ) -> Result<(Reply, u64), Failure> {
        let mut left = op.redirects;
        while reply.notable {
            self.take_cookies(&request);
            if op.redirects == 0 {
                break;
            }
            let Some(next) = self.next_request(&request, &reply, left) else { break };
            request = next;
            left -= 1;
            let deadline = self.watch.deadline();
            start = self.local.now();
            if !self.http.is_open() {
                start = self.open(op, start).await?;
            }
            // The time limit is that of the whole chain.
            self.watch.set(deadline);
            let dressed = self.dressed(&request);
            let sent = dressed.as_deref().unwrap_or(&request);
            let head = request.starts_with(b"HEAD ");
            let wanted = Wanted { head, body: op.needs_body, heads: op.heads };
            let result = self.http.exchange(sent, wanted, (&self.local, &self.watch)).await;
            if let Some(opened) = self.http.reopened {
                start = self.reopened(op, opened);
            }
            match result {
                Ok(next) => reply = next,
                Err(failure) => {
                    return self.failed(op.slot, failure, start).map(|()| (reply, start));
                }
            }
            self.answered(op, &reply, (start, sent.len()));
        }
        Ok((reply, start))
    }

    fn take_cookies(&mut self, request: &[u8]) {
        if !self.plan.flows[self.flow].cookies {
            return;
        }
        let mut jar = self.jar.take().unwrap_or_default();
        jar.take(&self.http.kept.head, &self.visit(request));
        // An empty jar is none, so that later requests go the short way.
        self.jar = (!jar.is_empty()).then_some(jar);
    }

    /// The request that a reply leads to, if it is to be followed.
    fn next_request(&self, request: &[u8], reply: &Reply, left: u32) -> Option<Vec<u8>> {
        let base = Url::parse(&self.plan.base).ok()?;
        let next = redirect::next(request, (reply.status, &self.http.kept.head), &base);
        let notice = match next {
            Next::Request(request) if left > 0 => return Some(request),
            Next::Request(_) => Notice::RedirectsTooMany,
            Next::Elsewhere => Notice::RedirectElsewhere,
            Next::Nothing => return None,
        };
        self.local.note(|recorder| recorder.notice(notice));
        None
    }

    /// Forgets what an iteration must not know of the one before.
    #[inline]
    pub(super) fn forget_cookies(&mut self) {
        if self.jar.is_some() && !self.plan.flows[self.flow].keep_cookies {
            self.jar = None;
        }
    }
}

/// A user's cookies; none until it is given one.
pub(super) type OwnJar = Option<Box<Jar>>;
