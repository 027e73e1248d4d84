//! OpenAPI 3.0 and 3.1 to a scenario: one step for each operation, with values from examples,
//! defaults and schemas. Pure.
//!
//! In: the document as JSON or YAML text, and what is wanted of it. Out: an [`Imported`]. Format:
//! OpenAPI Specification 3.1.1. References are followed within the document alone.

mod example;
mod parameter;

use super::secret::Secrets;
use super::{Body, Draft, ImportError, Imported, Part, Request, STEPS_MAX, yaml};
use example::Examples;
use serde_json::Value;
use url::Url;

/// Methods in the order in which they make sense one after another.
const METHODS: [&str; 8] = ["post", "put", "get", "head", "options", "patch", "trace", "delete"];

/// What a body may be, best first.
const BODIES: [&str; 4] =
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Where the API is when the document does not say so.
const BASE_DEFAULT: &str = "http://127.0.0.1:8080";

/// What is wanted of a document.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ApiWish {
    /// Where the document came from, which a relative server counts from.
    pub source: Option<String>,
    /// Methods to make steps of, in small letters; all when it is empty.
    pub methods: Vec<String>,
}

/// Makes a scenario out of a document.
///
/// # Errors
/// When it is neither JSON nor YAML, of another version, or without an operation.
pub fn import(text: &str, wish: &ApiWish) -> Result<Imported, ImportError> {
    let document = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        yaml::parse(text)
    };
    let document = document
        .map_err(|error| ImportError::new(format!("it is neither JSON nor YAML: {error}")))?;
    check_version(&document)?;
    let (base, prefix) = server(&document, wish.source.as_deref());
    let title = document.pointer("/info/title").and_then(Value::as_str).unwrap_or("API");
    let mut imported = Imported { name: title.to_owned(), base, ..Imported::default() };
    let examples = Examples::new(&document);
    let mut secrets = Secrets::default();
    let paths = document.get("paths").and_then(Value::as_object);
    let (mut past, mut destructive) = (0, 0);
    for (path, item) in paths.into_iter().flatten() {
        let item = examples.resolved(item);
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            if !wish.methods.is_empty() && !wish.methods.iter().any(|wanted| wanted == method) {
                continue;
            }
            if imported.steps.len() >= STEPS_MAX {
                past += 1;
                continue;
            }
            destructive += usize::from(method == "delete");
            let mut request = request(&examples, (path, method), item, operation);
            request.path = format!("{prefix}{}", request.path);
            secrets.hide(&mut request);
            imported.steps.push(Draft::Request(Box::new(request)));
        }
    }
    if imported.steps.is_empty() {
        return Err(ImportError::new("it has no operation of the wanted methods"));
    }
    imported.notes.push(format!("the base is {}: check it before you load it", imported.base));
    if past > 0 {
        imported.notes.push(format!("left out {past} operations past the most that are imported"));
    }
    if destructive > 0 {
        imported.notes.push(format!("{destructive} steps delete something: see whether they may"));
    }
    imported.notes.extend(secrets.notes());
    Ok(imported)
}

fn check_version(document: &Value) -> Result<(), ImportError> {
    let version = document.get("openapi").and_then(Value::as_str);
    match version {
        Some(version) if version.starts_with("3.") => Ok(()),
        Some(version) => Err(ImportError::new(format!(
            "OpenAPI {version} is not known (convert it to 3.0 or 3.1)"
        ))),
        None if document.get("swagger").is_some() => Err(ImportError::new(
            "Swagger 2 is not known (convert it to OpenAPI 3, with `swagger2openapi` for one)",
        )),
        None => Err(ImportError::new("it is no OpenAPI document: `openapi` is missing")),
    }
}

/// Origin and path prefix of the first server.
fn server(document: &Value, source: Option<&str>) -> (String, String) {
    let first = document.pointer("/servers/0");
    let mut text = first
        .and_then(|server| server.get("url"))
        .and_then(Value::as_str)
        .unwrap_or("/")
        .to_owned();
    let variables = first.and_then(|server| server.get("variables")).and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        let value = variable.get("default").map(plain).unwrap_or_default();
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    let around = source.and_then(|source| Url::parse(source).ok());
    let around = around.or_else(|| Url::parse(BASE_DEFAULT).ok());
    let url = around.and_then(|around| around.join(&text).ok());
    match url.filter(|url| matches!(url.scheme(), "http" | "https")) {
        Some(url) => {
            (url.origin().ascii_serialization(), super::literal(url.path().trim_end_matches('/')))
        }
        None => (BASE_DEFAULT.to_owned(), String::new()),
    }
}

fn request(
    examples: &Examples<'_>,
    (path, method): (&str, &str),
    item: &Value,
    operation: &Value,
) -> Request {
    let mut request = Request {
        name: operation.get("operationId").and_then(Value::as_str).map(str::to_owned),
        method: method.to_uppercase(),
        path: super::literal(path),
        status: status(operation),
        ..Request::default()
    };
    if request.name.is_none() && path.contains('{') {
        // One operation, whatever stands in its path.
        request.name = Some(format!("{} {path}", request.method));
    }
    parameter::place(&mut request, examples, [item, operation]);
    parameter::authorize(&mut request, examples, operation);
    request.body = operation.get("requestBody").and_then(|body| self::body(examples, body));
    request
}

/// The first success that is promised.
fn status(operation: &Value) -> Option<String> {
    let promised = operation.get("responses")?.as_object()?;
    let found = promised.keys().find(|status| status.starts_with('2'));
    match found.map(|status| status.to_ascii_lowercase()) {
        Some(status) if status == "2xx" || status.parse::<u16>().is_ok() => Some(status),
        _ => Some("2xx".to_owned()),
    }
}

fn body(examples: &Examples<'_>, body: &Value) -> Option<Body> {
    let content = examples.resolved(body).get("content")?.as_object()?;
    let is = |kind: &str, wanted: &str| kind.split(';').next().unwrap_or_default().trim() == wanted;
    let known = BODIES.iter().find_map(|wanted| {
        content
            .iter()
            .find(|(kind, _)| is(kind, wanted))
            .map(|(kind, media)| (*wanted, kind, media))
    });
    let (wanted, kind, media) = known.or_else(|| {
        content
            .iter()
            .next()
            .map(|(kind, media)| (if kind.ends_with("+json") { "+json" } else { "" }, kind, media))
    })?;
    let value = examples.of(media)?;
    Some(match wanted {
        "application/json" => Body::Json(value),
        "application/x-www-form-urlencoded" => Body::Form(fields(&value)),
        "multipart/form-data" => Body::Multipart(
            fields(&value)
                .into_iter()
                .map(|(name, text)| Part { name, text, ..Part::default() })
                .collect(),
        ),
        _ => Body::Text(plain(&value), kind.clone()),
    })
}

fn fields(value: &Value) -> Vec<(String, String)> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), plain(value))).collect()
}

/// A value as it stands in a path, a query or a form.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
