//! Bodies of requests: JSON, text, forms, files and multipart forms (RFC 7578). Pure.
//!
//! In: the fields of a step. Out: the pieces of its body with their content type. Files are wanted
//! here and read by others.

use super::super::BodyPiece;
use super::super::reader::{Fields, Node};
use super::{encoded, quoted};
use crate::template::{Escape, Template, mix};

/// Keys that give a step a body.
const BODIES: [&str; 6] = ["json", "text", "body", "form", "file", "multipart"];

/// Content type of bytes that say nothing of themselves.
const BYTES: &str = "application/octet-stream";

/// A body and its content type.
type Body = (Vec<BodyPiece>, String);

/// The step's body, if it has one.
pub(super) fn body(fields: &Fields<'_, '_>) -> Option<Body> {
    let given: Vec<&str> = BODIES.into_iter().filter(|key| fields.has(key)).collect();
    if given.len() > 1 {
        fields.fault(format!("several bodies: {} (keep one)", quoted(&given)));
    }
    let found = BODIES.map(|key| fields.opt(key).and_then(|node| read(key, &node)));
    found.into_iter().flatten().next()
}

fn read(key: &str, node: &Node<'_, '_>) -> Option<Body> {
    let text = |template: Template| vec![BodyPiece::Text(template)];
    Some(match key {
        "json" => (text(node.json()?), "application/json".to_owned()),
        "text" => (text(node.template(Escape::None)?), "text/plain; charset=utf-8".to_owned()),
        "body" => (text(node.template(Escape::None)?), BYTES.to_owned()),
        "form" => (text(form(node)), "application/x-www-form-urlencoded".to_owned()),
        "file" => (vec![file(node)?], BYTES.to_owned()),
        _ => return multipart(node),
    })
}

fn form(node: &Node<'_, '_>) -> Template {
    let mut out = Template::default();
    for (index, (name, value)) in node.templates(Escape::Query).into_iter().enumerate() {
        out.push_text(if index == 0 { "" } else { "&" });
        out.push(encoded(Template::literal(&name)));
        out.push_text("=");
        out.push(encoded(value));
    }
    out
}

fn file(node: &Node<'_, '_>) -> Option<BodyPiece> {
    let path = node.text()?;
    if path.contains("${") {
        node.fault("a file's name cannot depend on variables (write one step for each file)");
        return None;
    }
    node.want_file(path);
    Some(BodyPiece::File(path.to_owned()))
}

fn multipart(node: &Node<'_, '_>) -> Option<Body> {
    let boundary = boundary(node);
    let mut pieces = Vec::new();
    let mut text = Template::default();
    for (name, part) in node.fields()?.entries() {
        text.push_text(&format!("--{boundary}\r\nContent-Disposition: form-data; name=\""));
        text.push_text(&parameter(name));
        if !part.value.is_table() {
            text.push_text("\"\r\n\r\n");
            text.push(part.template(Escape::None)?);
        } else {
            let (content, file_name, content_type) = file_part(&part)?;
            text.push_text(&format!("\"; filename=\"{}\"\r\n", parameter(&file_name)));
            text.push_text(&format!("Content-Type: {content_type}\r\n\r\n"));
            pieces.push(BodyPiece::Text(std::mem::take(&mut text)));
            pieces.push(content);
        }
        text.push_text("\r\n");
    }
    text.push_text(&format!("--{boundary}--\r\n"));
    pieces.push(BodyPiece::Text(text));
    Some((pieces, format!("multipart/form-data; boundary={boundary}")))
}

/// A part with a file name: its content, that name, its content type.
fn file_part(node: &Node<'_, '_>) -> Option<(BodyPiece, String, String)> {
    let fields = node.fields()?;
    let path = fields.opt("file");
    let text = fields.opt("text");
    let name = fields.opt("name").and_then(|node| node.text()).map(str::to_owned);
    let content_type = fields.opt("type").and_then(|node| node.text()).unwrap_or(BYTES).to_owned();
    if content_type.contains(['\r', '\n']) {
        fields.fault("`type` has a line break in it (remove it)");
    }
    let (content, own_name) = match (path, text) {
        (Some(path), None) => {
            let own = path.value.as_str().and_then(|path| path.rsplit('/').next());
            (file(&path)?, own.unwrap_or_default().to_owned())
        }
        (None, Some(text)) => {
            (BodyPiece::Text(text.template(Escape::None)?), "file.txt".to_owned())
        }
        _ => {
            fields.fault("a part has either `file` or `text` (write `{ file = \"a.png\" }`)");
            return None;
        }
    };
    fields.finish();
    Some((content, name.unwrap_or(own_name), content_type))
}

/// A name inside quotes, as browsers write it (HTML, section 4.10.22.8).
fn parameter(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// What separates the parts: the same for the same step of the same file, so that runs send the
/// same bytes, and unlike anything that a part would hold.
fn boundary(node: &Node<'_, '_>) -> String {
    let place =
        node.path.bytes().fold(node.span.start as u64, |state, byte| mix(state ^ u64::from(byte)));
    format!("ebbtide-{:016x}{:016x}", mix(place), mix(!place))
}
