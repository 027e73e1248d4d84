//! HTTP steps: method, URL, headers and credentials of a request, and what steps inherit. Pure.
//!
//! In: the fields of a step, a flow or the target. Out: a [`Verb::Http`], or what is inherited,
//! with all faults noted in the reader. Bodies, checks and captures have files of their own; bytes
//! on the wire are left to the plan.

use super::super::reader::{Fields, Node};
use super::super::{Auth, HttpStep, Inherited, Template, Verb};
use super::body::body;
use super::capture::captures;
use super::check::checks;
use super::{Around, timeout};
use crate::template::Escape;

/// Verbs that are HTTP methods; `request` takes any other.
const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// Redirects followed at most, whatever is asked for: more is a circle.
const REDIRECTS_MAX: u64 = 100;

/// Exchanges side by side at most: their replies are held until all are there.
const PARALLEL_MAX: usize = 256;

/// Codings that can be offered, since their bodies can be read.
const CODINGS: [&str; 3] = ["gzip", "deflate", "identity"];

pub(super) fn pairs(
    fields: &Fields<'_, '_>,
    key: &'static str,
    escape: Escape,
) -> Vec<(String, Template)> {
    fields.opt(key).map(|node| node.templates(escape)).unwrap_or_default()
}

/// The table `headers`.
pub(super) fn headers(fields: &Fields<'_, '_>) -> Vec<(String, Template)> {
    let Some(node) = fields.opt("headers") else { return Vec::new() };
    let headers = node.templates(Escape::None);
    for (name, value) in &headers {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            node.fault(format!("`{name}` is not a header name (letters, digits and `-`)"));
        }
        if value.as_static().is_some_and(|value| value.contains(['\r', '\n'])) {
            node.fault(format!("header `{name}` has a line break in its value (remove it)"));
        }
    }
    headers
}

/// A step whose verb is a method, or `request`.
pub(super) fn http(fields: &Fields<'_, '_>, verb: &'static str) -> Option<Verb> {
    let (method, target) = if verb == "request" {
        request(fields)?
    } else {
        let method = METHODS.iter().find(|method| **method == verb)?;
        let node = fields.opt(method)?;
        (method.to_uppercase(), url(&node))
    };
    let (body, content_type) = body(fields).unzip();
    let step = HttpStep {
        method,
        query: pairs(fields, "query", Escape::Query),
        headers: headers(fields),
        cookies: cookies(fields),
        auth: auth(fields),
        body,
        content_type,
        timeout: timeout(fields, "timeout"),
        redirects: redirects(fields),
        compression: compression(fields),
        checks: fields.opt("check").map(|node| checks(&node)).unwrap_or_default(),
        captures: captures(fields),
        url: target?,
    };
    Some(Verb::Http(Box::new(step)))
}

/// `request = { method = "PURGE", url = "/x" }`: method, and the URL if it is one.
fn request(fields: &Fields<'_, '_>) -> Option<(String, Option<Template>)> {
    let inner = fields.opt("request")?.fields()?;
    let node = inner.need("method", "method = \"PURGE\"");
    let target = inner.need("url", "url = \"/\"").and_then(|node| url(&node));
    inner.finish();
    let node = node?;
    let method = node.text()?;
    if http::Method::from_bytes(method.as_bytes()).is_err() {
        node.fault(format!("`{method}` is not an HTTP method (write `PURGE`)"));
        return None;
    }
    // Methods are case-sensitive (RFC 9110, section 9.1), so this one stays as it is.
    Some((method.to_owned(), target))
}

/// `parallel = [{ get = "/a" }, { get = "/b" }]`: HTTP steps alone.
pub(super) fn parallel(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Verb> {
    let node = fields.opt("parallel")?;
    let items = node.items()?;
    if items.is_empty() || items.len() > PARALLEL_MAX {
        node.fault(format!("`parallel` takes 1 to {PARALLEL_MAX} steps (make it several)"));
    }
    let mut steps = Vec::new();
    for item in &items {
        let Some(step) = super::read(item, around) else { continue };
        if matches!(step.verb, Verb::Http(_)) {
            steps.push(step);
        } else {
            item.fault("only HTTP steps can be side by side (put it before or after `parallel`)");
        }
    }
    Some(Verb::Parallel(steps))
}

/// A path, or a URL.
pub(super) fn url(node: &Node<'_, '_>) -> Option<Template> {
    let text = node.text()?;
    if !text.starts_with('/') && !text.contains("://") {
        node.fault(format!("`{text}` is not a path (write `/{text}`)"));
        return None;
    }
    if text.contains([' ', '\r', '\n']) {
        node.fault(format!("`{text}` has a space in it (write `%20`)"));
        return None;
    }
    node.template(Escape::None)
}

/// Static text of a query or form value, percent-encoded.
pub(crate) fn encoded(value: Template) -> Template {
    let Some(text) = value.as_static() else { return value };
    let mut out = Vec::new();
    crate::template::write_escaped(&mut out, text, Escape::Query);
    Template::literal(&String::from_utf8_lossy(&out))
}

fn cookies(fields: &Fields<'_, '_>) -> Vec<(String, Template)> {
    let Some(node) = fields.opt("cookies") else { return Vec::new() };
    let cookies = node.templates(Escape::None);
    let bad = |text: &str| text.contains([';', '\r', '\n', ',']);
    for (name, value) in &cookies {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            node.fault(format!("`{name}` is not a cookie's name (letters, digits and `-`)"));
        }
        if value.as_static().is_some_and(bad) {
            node.fault(format!("cookie `{name}` has a `;`, a `,` or a line break (encode it)"));
        }
    }
    cookies
}

fn auth(fields: &Fields<'_, '_>) -> Option<Auth> {
    let node = fields.opt("auth")?;
    if node.value.as_bool() == Some(false) {
        return Some(Auth::None);
    }
    let inner = node.fields()?;
    let basic = inner.opt("basic").and_then(|node| node.fields()).map(|fields| {
        let text = |node: Option<Node<'_, '_>>| node.and_then(|node| node.template(Escape::None));
        let user = text(fields.need("user", "user = \"ann\""));
        let password = text(fields.opt("password")).unwrap_or_default();
        fields.finish();
        Some(Auth::Basic(user?, password))
    });
    let bearer = inner.opt("bearer").map(|node| node.template(Escape::None).map(Auth::Bearer));
    inner.finish();
    match (basic, bearer) {
        (Some(auth), None) | (None, Some(auth)) => auth,
        _ => {
            node.fault("`auth` has either `basic` or `bearer` (write `{ bearer = \"${token}\" }`)");
            None
        }
    }
}

fn redirects(fields: &Fields<'_, '_>) -> Option<u32> {
    fields.opt("redirects").and_then(|node| node.whole(0, REDIRECTS_MAX)).map(|count| count as u32)
}

/// Codings as a header's value; `true` for all that can be read, `false` for none.
fn compression(fields: &Fields<'_, '_>) -> Option<String> {
    let node = fields.opt("compression")?;
    match node.value.as_bool() {
        Some(true) => return Some("gzip, deflate".to_owned()),
        Some(false) => return Some(String::new()),
        None => {}
    }
    let text = node.text()?;
    for coding in text.split(',') {
        let name = coding.split(';').next().unwrap_or(coding).trim();
        if !CODINGS.contains(&name) {
            let known = super::quoted(&CODINGS);
            node.fault(format!("coding `{name}` cannot be read (known: {known})"));
        }
    }
    Some(text.to_owned())
}

/// What the steps of a flow, or of all flows, inherit.
pub(crate) fn inherited(fields: &Fields<'_, '_>) -> Inherited {
    let flag = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.flag());
    Inherited {
        headers: headers(fields),
        auth: auth(fields),
        timeout: timeout(fields, "timeout"),
        redirects: redirects(fields),
        compression: compression(fields),
        cookies: flag("cookies"),
        keep_cookies: flag("keep_cookies"),
    }
}

/// JSON pointers with their values; a plain name stands for a field of the top object.
pub(super) fn pointers(node: &Node<'_, '_>) -> Vec<(String, Template)> {
    let pairs = node.templates(Escape::None);
    pairs
        .into_iter()
        .map(|(name, value)| {
            let pointer = if name.starts_with('/') { name } else { format!("/{name}") };
            (pointer, value)
        })
        .collect()
}
