//! Scenarios made out of what others wrote down: a browser's HAR file, an OpenAPI document, a
//! curl command line. Pure.
//!
//! In: their text. Out: an [`Imported`], and from it the text of a scenario that the reader takes
//! and a person goes on with. Fetching documents and running what comes out are left to the
//! caller. No secret of the input stands in the output: each became an environment variable.

pub mod curl;
pub mod har;
pub mod openapi;
mod secret;
mod write;
mod yaml;

pub use secret::{is_secret_field, is_secret_header};
use serde_json::Value;
use std::time::Duration;

/// Steps imported at most: a longer list is a recording of a day, not a scenario.
pub const STEPS_MAX: usize = 2_000;

/// Why nothing could be imported: what is wrong, and the cure.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ImportError(String);

impl ImportError {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A scenario in the making.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// The origin that is loaded: `http://127.0.0.1:8080`.
    pub base: String,
    /// What one iteration does.
    pub steps: Vec<Draft>,
    /// What a person should know of it: what was left out, which variables to set.
    pub notes: Vec<String>,
}

/// A step in the making. Text in it is that of templates: `${` that means nothing is `$${`.
#[derive(Clone, Debug, PartialEq)]
pub enum Draft {
    /// An HTTP exchange.
    Request(Box<Request>),
    /// A pause.
    Think(Duration),
}

/// An HTTP exchange in the making.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Name of the operation, where there is a better one than method and path.
    pub name: Option<String>,
    /// `GET`.
    pub method: String,
    /// Path on the base, percent-encoded, without its query.
    pub path: String,
    /// Query parameters, not encoded.
    pub query: Vec<(String, String)>,
    /// Headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Body>,
    /// Time limit.
    pub timeout: Option<Duration>,
    /// The reply's status: `200`, or `2xx`.
    pub status: Option<String>,
}

/// A body in the making.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A JSON document.
    Json(Value),
    /// Text of some content type.
    Text(String, String),
    /// A form, not encoded.
    Form(Vec<(String, String)>),
    /// A multipart form.
    Multipart(Vec<Part>),
    /// The content of a file, of some content type.
    File(String, String),
}

/// A part of a multipart form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its text, where it is no file on disk.
    pub text: String,
    /// Path of the file that it is.
    pub file: Option<String>,
    /// The file name that is told.
    pub file_name: Option<String>,
    /// Its content type.
    pub content_type: Option<String>,
}

/// Text as the text of a template that renders it.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// The same inside a JSON document, keys left alone: they are no templates.
fn literal_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(literal(text)),
        Value::Array(items) => items.iter().map(literal_json).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), literal_json(value))).collect()
        }
        other => other.clone(),
    }
}

/// A query or a form as pairs, decoded.
fn pairs(encoded: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded.as_bytes())
        .map(|(name, value)| (name.into_owned(), literal(&value)))
        .collect()
}

/// The body of a recorded request, by its content type.
fn body_of(text: &str, content_type: &str) -> Option<Body> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    let json = || serde_json::from_str::<Value>(text).ok();
    Some(match kind.as_str() {
        "application/x-www-form-urlencoded" => Body::Form(pairs(text)),
        // A JSON body of another name keeps it.
        "application/json" | "" => match json() {
            Some(value) if kind == "application/json" => Body::Json(literal_json(&value)),
            _ => Body::Text(literal(text), kind),
        },
        _ => Body::Text(literal(text), content_type.trim().to_owned()),
    })
}

/// Headers that the client writes itself, or that only a browser's own machinery means.
const OF_THE_CLIENT: [&str; 20] = [
    "host",
    "content-length",
    "connection",
    "proxy-connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
    "accept-encoding",
    "upgrade-insecure-requests",
    "cache-control",
    "pragma",
    "if-none-match",
    "if-modified-since",
    "dnt",
    "priority",
    "http2-settings",
    "purpose",
    "x-devtools-emulate-network-conditions-client-id",
];

/// Whether a recorded header is to be sent by hand.
fn is_of_the_user(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.starts_with(':') && !name.starts_with("sec-") && !OF_THE_CLIENT.contains(&name.as_str())
}
