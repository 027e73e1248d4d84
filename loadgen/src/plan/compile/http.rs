//! HTTP steps into instructions: requests prepared as far as they can be. Pure.
//!
//! In: an HTTP step. Out: an [`Op::Http`] and its slot, checks and captures in the plan.

use super::{Compiler, split_credentials};
use crate::check::{Capture, Predicate, Source};
use crate::plan::{BodyOp, CaptureOp, CheckName, Heads, HttpOp, Op, Prepared, SlotKind};
use crate::scenario::protocol::Connections;
use crate::scenario::step::{TIMEOUT_DEFAULT, encoded};
use crate::scenario::{BodyPiece, HttpStep, Inherited, Step, Verb};
use crate::template::Template;
use std::sync::Arc;

/// Redirects followed at most unless the scenario says otherwise: k6's number.
const REDIRECTS_DEFAULT: u32 = 10;

impl Compiler<'_, '_> {
    pub(super) fn http_op(&mut self, step: &Step, http: &HttpStep, times: f64) -> Op {
        let name = step.named(format!("{} {}", http.method, path_of(&http.url)));
        let slot = self.slot(SlotKind::Http, name, &step.tags);
        self.count(slot, times);
        Op::Http(Box::new(self.http(http, slot, step.line)))
    }

    /// Exchanges side by side, which the reader has seen to be HTTP.
    pub(super) fn parallel_op(&mut self, steps: &[Step], times: f64) -> Op {
        let mut ops = Vec::new();
        for step in steps {
            if let Verb::Http(http) = &step.verb
                && let Op::Http(op) = self.http_op(step, http, times)
            {
                ops.push(*op);
            }
        }
        Op::Parallel(ops)
    }

    /// Request line and headers, each with its line end.
    pub(super) fn head(
        &mut self,
        (method, url): (&str, &Template),
        query: &[(String, Template)],
        headers: &[(String, Template)],
        line: usize,
    ) -> Template {
        let mut head = Template::default();
        head.push_text(&format!("{method} "));
        let url = self.path_on_base(url, line);
        let mut joined = url.contains("?");
        head.push(url);
        for (name, value) in query {
            head.push_text(if joined { "&" } else { "?" });
            joined = true;
            head.push_text(&format!("{name}="));
            let value = self.bind(value, line);
            head.push(encoded(value));
        }
        head.push_text(" HTTP/1.1\r\n");
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_text(&format!("Host: {}\r\n", self.plan.address.authority));
        }
        for (name, value) in headers {
            head.push_text(&format!("{name}: "));
            let value = self.bind(value, line);
            head.push(value);
            head.push_text("\r\n");
        }
        head
    }

    /// The path of a URL, which must be on the plan's own host.
    pub(super) fn path_on_base(&mut self, url: &Template, line: usize) -> Template {
        let mut url = self.bind(url, line);
        if let Some(text) = url.first_text().filter(|text| text.contains("://")) {
            let authority = self.plan.address.authority.clone();
            let (_, rest) = text.split_once("://").unwrap_or_default();
            let (_, rest) = split_credentials(rest);
            let (host, _) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            if host == authority {
                let cut = text.len() - (rest.len() - host.len());
                url.cut_first(cut);
            } else {
                let what = format!(
                    "host `{host}` is not the target's `{authority}` (one target per scenario so \
                     far)"
                );
                (self.note)(line, self.path.clone(), what);
            }
        }
        let mut path = Template::default();
        path.push_text(&self.plan.address.prefix);
        path.push(url);
        path
    }

    fn http(&mut self, step: &HttpStep, slot: usize, line: usize) -> HttpOp {
        let headers = self.headers(&step.headers);
        let mut head = self.head((&step.method, &step.url), &step.query, &headers, line);
        self.authorize(&mut head, (step.auth.as_ref(), &step.url), &headers, line);
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let compression = step.compression.as_ref().or(self.inherited.compression.as_ref());
        if let Some(codings) = compression.filter(|codings| !codings.is_empty())
            && !has("accept-encoding")
        {
            head.push_text(&format!("Accept-Encoding: {codings}\r\n"));
        }
        // The server learns that it need not keep the connection; HTTP/2 leaves the line out.
        if self.plan.protocol.connections == Connections::None && !has("connection") {
            head.push_text("Connection: close\r\n");
        }
        self.cookies(&mut head, step, line);
        if let (Some(content_type), false) = (&step.content_type, has("content-type")) {
            head.push_text(&format!("Content-Type: {content_type}\r\n"));
        }
        let body = step.body.as_ref().map(|pieces| self.body(pieces, line));
        let checks = self.checks(step, slot, line);
        let captures = self.captured(&step.captures, slot, line);
        let predicates = || checks.iter().map(|(_, predicate)| predicate);
        let sources = || captures.iter().map(|capture| &capture.source);
        let redirects = step.redirects.or(self.inherited.redirects).unwrap_or(REDIRECTS_DEFAULT);
        let needs_body =
            predicates().any(Predicate::needs_body) || sources().any(Source::needs_body);
        // A body that is looked at may be coded, asked for or not, which its head says.
        let needs_head = predicates().any(Predicate::needs_head)
            || sources().any(Source::needs_head)
            || needs_body && (compression.is_some() || has("accept-encoding"));
        let notable = redirects > 0 || self.inherited.cookies.unwrap_or(true);
        HttpOp {
            slot,
            request: prepare(head, body, needs_length(&step.method)),
            timeout: step.timeout.or(self.inherited.timeout).unwrap_or(TIMEOUT_DEFAULT),
            head: step.method == "HEAD",
            needs_body,
            heads: if needs_head {
                Heads::Always
            } else if notable {
                Heads::Notable
            } else {
                Heads::Never
            },
            redirects,
            checks,
            captures,
        }
    }

    /// Headers of a step with those that it inherits.
    pub(super) fn headers(&self, own: &[(String, Template)]) -> Vec<(String, Template)> {
        let own = Inherited { headers: own.to_vec(), ..Inherited::default() };
        own.within(self.inherited).headers
    }

    fn cookies(&mut self, head: &mut Template, step: &HttpStep, line: usize) {
        for (index, (name, value)) in step.cookies.iter().enumerate() {
            head.push_text(if index == 0 { "Cookie: " } else { "; " });
            head.push_text(&format!("{name}="));
            let value = self.bind(value, line);
            head.push(value);
        }
        head.push_text(if step.cookies.is_empty() { "" } else { "\r\n" });
    }

    fn body(&mut self, pieces: &[BodyPiece], line: usize) -> Vec<BodyOp> {
        let mut body = Vec::new();
        for piece in pieces {
            body.push(match piece {
                BodyPiece::Text(text) => BodyOp::Text(self.bind(text, line)),
                BodyPiece::Bytes(bytes) => BodyOp::Bytes(Arc::clone(bytes)),
                BodyPiece::File(path) => {
                    let bytes = self.files.get(path).and_then(|file| file.bytes.clone());
                    if bytes.is_none() {
                        let what = format!("file `{path}` has not been read (read it beforehand)");
                        (self.note)(line, self.path.clone(), what);
                    }
                    BodyOp::Bytes(bytes.unwrap_or_default())
                }
            });
        }
        body
    }

    fn checks(&mut self, step: &HttpStep, slot: usize, line: usize) -> Vec<(usize, Predicate)> {
        let mut checks = Vec::new();
        for check in &step.checks {
            let mut predicate = check.predicate.clone();
            let mut templates = Vec::new();
            predicate.templates_mut(&mut templates);
            for template in templates {
                *template = self.bind(template, line);
            }
            checks.push((self.check(&check.name, slot), predicate));
        }
        checks
    }

    /// A place for a check of a slot.
    fn check(&mut self, name: &str, slot: usize) -> usize {
        self.plan.checks.push(CheckName { name: name.to_owned(), slot });
        self.plan.checks.len() - 1
    }

    /// Captures of a step, with their places. One that has no default is a check besides.
    pub(super) fn captured(
        &mut self,
        captures: &[Capture],
        slot: usize,
        line: usize,
    ) -> Vec<CaptureOp> {
        let mut out = Vec::new();
        for capture in captures {
            // All names were declared before any step was compiled.
            let known = self.captures.iter().position(|known| *known == capture.name);
            let Some(place) = known else { continue };
            let default = capture.default.as_ref().map(|default| self.bind(default, line));
            let check = default.is_none().then(|| self.check(&capture.check_name(), slot));
            out.push(CaptureOp { place, source: capture.source.clone(), default, check });
        }
        out
    }
}

/// Methods whose request says that its body is empty (RFC 9110, section 8.6).
fn needs_length(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

fn prepare(head: Template, body: Option<Vec<BodyOp>>, needs_length: bool) -> Prepared {
    let body = body.or_else(|| needs_length.then(Vec::new));
    let Some(body) = body else {
        return match head.as_static() {
            Some(text) => Prepared::Static(format!("{text}\r\n").into_bytes()),
            None => Prepared::Dynamic { head, body: None },
        };
    };
    let mut whole = Vec::new();
    for piece in &body {
        match piece {
            BodyOp::Bytes(bytes) => whole.extend_from_slice(bytes),
            BodyOp::Text(text) => match text.as_static() {
                Some(text) => whole.extend_from_slice(text.as_bytes()),
                None => return Prepared::Dynamic { head, body: Some(body) },
            },
        }
    }
    let Some(text) = head.as_static() else {
        return Prepared::Dynamic { head, body: Some(vec![BodyOp::Bytes(whole.into())]) };
    };
    let mut request = format!("{text}Content-Length: {}\r\n\r\n", whole.len()).into_bytes();
    request.extend_from_slice(&whole);
    Prepared::Static(request)
}

/// The path of a URL as it is written, for the name of an operation.
pub(super) fn path_of(url: &Template) -> String {
    let text = url.written();
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => text.as_str(),
    };
    path.split('?').next().unwrap_or(path).to_owned()
}
