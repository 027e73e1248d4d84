//! HTTP steps into instructions: requests prepared as far as they can be. Pure.
//!
//! In: an HTTP step. Out: an [`Op::Http`] and its slot, checks and captures in the plan.

use super::Compiler;
use crate::plan::{CheckName, HttpOp, Op, Prepared, SlotKind};
use crate::scenario::step::encoded;
use crate::scenario::{HttpStep, Predicate, Step};
use crate::template::Template;

impl Compiler<'_, '_> {
    pub(super) fn http_op(&mut self, step: &Step, http: &HttpStep, times: f64) -> Op {
        let name = step.named(format!("{} {}", http.method, path_of(&http.url)));
        let slot = self.slot(SlotKind::Http, name, &step.tags);
        self.count(slot, times);
        Op::Http(Box::new(self.http(http, slot, step.line)))
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
    fn path_on_base(&mut self, url: &Template, line: usize) -> Template {
        let mut url = self.bind(url, line);
        if let Some(text) = url.first_text().filter(|text| text.contains("://")) {
            let authority = self.plan.address.authority.clone();
            let (_, rest) = text.split_once("://").unwrap_or_default();
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
        let mut head = self.head((&step.method, &step.url), &step.query, &step.headers, line);
        let typed = step.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let (Some(content_type), false) = (step.content_type, typed) {
            head.push_text(&format!("Content-Type: {content_type}\r\n"));
        }
        let body = step.body.as_ref().map(|body| self.bind(body, line));
        let mut checks = Vec::new();
        for check in &step.checks {
            let predicate = match &check.predicate {
                Predicate::Body(text) => Predicate::Body(self.bind(text, line)),
                Predicate::Json(pointer, value) => {
                    Predicate::Json(pointer.clone(), self.bind(value, line))
                }
                other => other.clone(),
            };
            checks.push((self.plan.checks.len(), predicate));
            self.plan.checks.push(CheckName { name: check.name.clone(), slot });
        }
        let looks = |(_, predicate): &(usize, Predicate)| {
            matches!(predicate, Predicate::Body(_) | Predicate::Json(..))
        };
        HttpOp {
            slot,
            request: prepare(head, body, needs_length(&step.method)),
            timeout: step.timeout,
            head: step.method == "HEAD",
            needs_body: checks.iter().any(looks) || !step.captures.is_empty(),
            checks,
            captures: self.places(&step.captures),
        }
    }

    pub(super) fn places(&self, captures: &[(String, String)]) -> Vec<(usize, String)> {
        let place = |name: &String| self.captures.iter().position(|known| known == name);
        captures
            .iter()
            .filter_map(|(name, pointer)| Some((place(name)?, pointer.clone())))
            .collect()
    }
}

/// Methods whose request says that its body is empty (RFC 9110, section 8.6).
fn needs_length(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

fn prepare(head: Template, body: Option<Template>, needs_length: bool) -> Prepared {
    let body = body.or_else(|| needs_length.then(Template::default));
    let (Some(text), body_text) = (head.as_static(), body.as_ref().map(Template::as_static)) else {
        return Prepared::Dynamic { head, body };
    };
    match body_text {
        None => Prepared::Static(format!("{text}\r\n").into_bytes()),
        Some(Some(body)) => {
            Prepared::Static(format!("{text}Content-Length: {}\r\n\r\n{body}", body.len()).into())
        }
        Some(None) => Prepared::Dynamic { head, body },
    }
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
