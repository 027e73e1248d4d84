//! HAR 1.2 to a scenario: the requests that a browser recorded, in their order. Pure.
//!
//! In: the JSON text, and what is wanted of it. Out: an [`Imported`]. Format: W3C Web Performance
//! "HTTP Archive (HAR) format"; `_resourceType` and `_webSocketMessages` as Chromium writes them.

use super::secret::Secrets;
use super::{
    Body, Draft, ImportError, Imported, Part, Request, STEPS_MAX, body_of, is_of_the_user, literal,
    pairs,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Pauses shorter than this are the browser's own, not a person's.
const THINK_MIN: Duration = Duration::from_millis(100);

/// Pauses longer than this are cut: somebody had gone for coffee.
const THINK_MAX: Duration = Duration::from_secs(60);

/// Endings of paths that are files of a page.
const STATIC: [&str; 19] = [
    ".css", ".js", ".mjs", ".map", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif",
    ".ico", ".woff", ".woff2", ".ttf", ".otf", ".mp4", ".webm", ".wasm",
];

/// What is wanted of a recording.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HarWish {
    /// The host that is loaded; that of the first request when none is given.
    pub host: Option<String>,
    /// Leave out style sheets, scripts, pictures, fonts and films.
    pub no_static: bool,
    /// Keep the pauses between requests.
    pub think: bool,
}

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Entry {
    started_date_time: String,
    time: f64,
    request: Recorded,
    response: Reply,
    #[serde(rename = "_resourceType")]
    resource_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Recorded {
    method: String,
    url: String,
    headers: Vec<Pair>,
    post_data: Option<Posted>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    status: i32,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Posted {
    mime_type: String,
    text: String,
    params: Vec<Param>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Param {
    name: String,
    value: String,
    file_name: Option<String>,
    content_type: Option<String>,
}

/// Makes a scenario out of a recording.
///
/// # Errors
/// When the text is no HAR, or holds no request to the host.
pub fn import(text: &str, wish: &HarWish) -> Result<Imported, ImportError> {
    let archive: Archive = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| ImportError::new(format!("it is no HAR file: {error}")))?;
    let mut entries: Vec<(Url, &Entry)> = Vec::new();
    for entry in &archive.log.entries {
        if let Ok(url) = Url::parse(&entry.request.url) {
            entries.push((url, entry));
        }
    }
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
    let host = wish.host.clone().or_else(|| {
        let first = entries.iter().find(|(url, _)| is_http(url))?;
        authority(&first.0)
    });
    let host = host.ok_or_else(|| ImportError::new("it holds no HTTP request"))?;
    let (ours, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(url, _)| is_at(url, &host));
    let base = ours.iter().find(|(url, _)| is_http(url)).map(|(url, _)| origin(url));
    let Some(base) = base else {
        return Err(ImportError::new(format!(
            "it holds no HTTP request to `{host}`; there are {}",
            hosts(&others)
        )));
    };
    let mut imported = Imported { name: host.clone(), base, ..Imported::default() };
    if !others.is_empty() {
        let (count, hosts) = (others.len(), hosts(&others));
        imported.notes.push(format!("left out {count} requests to other hosts: {hosts}"));
    }
    steps(&mut imported, &ours, wish);
    if imported.steps.is_empty() {
        return Err(ImportError::new(format!("no request to `{host}` is left")));
    }
    Ok(imported)
}

fn steps(imported: &mut Imported, entries: &[(Url, &Entry)], wish: &HarWish) {
    let mut secrets = Secrets::default();
    let (mut files, mut sockets, mut past) = (0, 0, 0);
    let mut ended: Option<f64> = None;
    for (url, entry) in entries {
        if wish.no_static && is_static(url, entry) {
            files += 1;
            continue;
        }
        if matches!(url.scheme(), "ws" | "wss") || entry.resource_type == "websocket" {
            sockets += 1;
            continue;
        }
        if imported.steps.len() >= STEPS_MAX {
            past += 1;
            continue;
        }
        let started = milliseconds(&entry.started_date_time);
        if wish.think
            && let (Some(ended), Some(started)) = (ended, started)
            && started - ended >= THINK_MIN.as_secs_f64() * 1e3
        {
            let pause = Duration::from_millis((started - ended) as u64).min(THINK_MAX);
            imported.steps.push(Draft::Think(pause));
        }
        ended = started.map(|started| ended.unwrap_or(0.0).max(started + entry.time.max(0.0)));
        let mut request = request(url, entry);
        secrets.hide(&mut request);
        imported.steps.push(Draft::Request(Box::new(request)));
    }
    for (count, what) in [
        (files, "requests for files of the page"),
        (sockets, "WebSockets: write `connect` and `send` steps for them"),
        (past, "requests past the most that are imported"),
    ] {
        if count > 0 {
            imported.notes.push(format!("left out {count} {what}"));
        }
    }
    imported.notes.extend(secrets.notes());
}

fn request(url: &Url, entry: &Entry) -> Request {
    let recorded = &entry.request;
    let headers = recorded
        .headers
        .iter()
        .filter(|header| is_of_the_user(&header.name))
        .map(|header| (header.name.to_ascii_lowercase(), literal(&header.value)));
    let body = recorded.post_data.as_ref().and_then(body);
    let mut headers: Vec<(String, String)> = headers.collect();
    if matches!(body, Some(Body::Json(_) | Body::Form(_))) {
        // The body's own content type goes with it.
        let plain = |value: &str| !value.contains(';') || value.to_lowercase().contains("utf-8");
        headers.retain(|(name, value)| name != "content-type" || !plain(value));
    }
    let status = entry.response.status;
    Request {
        name: None,
        method: recorded.method.to_ascii_uppercase(),
        path: literal(url.path()),
        query: url.query().map(pairs).unwrap_or_default(),
        headers,
        body,
        timeout: None,
        // A reply out of the browser's cache is a 200 to everyone else.
        status: match status {
            304 => Some("200".to_owned()),
            100..=599 => Some(status.to_string()),
            _ => None,
        },
    }
}

fn body(data: &Posted) -> Option<Body> {
    let kind = data.mime_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("multipart/form-data") {
        let parts = if data.params.is_empty() {
            return multipart(&data.text, &data.mime_type);
        } else {
            data.params.iter().map(|param| Part {
                name: param.name.clone(),
                text: literal(&param.value),
                file: None,
                file_name: param.file_name.clone(),
                content_type: param.content_type.clone(),
            })
        };
        return Some(Body::Multipart(parts.collect()));
    }
    if data.text.is_empty() && !data.params.is_empty() {
        let fields = data.params.iter().map(|param| (param.name.clone(), literal(&param.value)));
        return Some(Body::Form(fields.collect()));
    }
    body_of(&data.text, &data.mime_type)
}

/// The parts of a multipart form as it was on the wire (RFC 7578), which is how Chromium tells it.
fn multipart(text: &str, mime_type: &str) -> Option<Body> {
    let boundary = mime_type.split("boundary=").nth(1)?.split(';').next()?.trim_matches('"');
    let parts: Vec<Part> = text
        .split(&format!("--{boundary}"))
        .filter_map(|piece| {
            let (head, content) = piece.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
            let parameter = |name: &str| -> Option<String> {
                let start = head.find(&format!("{name}=\""))? + name.len() + 2;
                Some(head[start..].split('"').next()?.to_owned())
            };
            let kind = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
            });
            Some(Part {
                name: parameter(" name")?,
                text: literal(content.strip_suffix("\r\n").unwrap_or(content)),
                file: None,
                file_name: parameter("filename"),
                content_type: kind,
            })
        })
        .collect();
    (!parts.is_empty()).then_some(Body::Multipart(parts))
}

fn is_static(url: &Url, entry: &Entry) -> bool {
    let path = url.path().to_ascii_lowercase();
    let kinds = ["stylesheet", "script", "image", "font", "media", "manifest"];
    STATIC.iter().any(|end| path.ends_with(end)) || kinds.contains(&entry.resource_type.as_str())
}

fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Whether a URL is at a host, given with its port or without.
fn is_at(url: &Url, host: &str) -> bool {
    url.host_str() == Some(host) || authority(url).as_deref() == Some(host)
}

fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme(), authority(url).unwrap_or_default())
}

/// Hosts with how often each was asked, most often first.
fn hosts(entries: &[(Url, &Entry)]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (url, _) in entries {
        *counts.entry(authority(url).unwrap_or_else(|| "none".to_owned())).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<String> =
        counts.iter().take(5).map(|(host, count)| format!("`{host}` ({count})")).collect();
    let more = counts.len().saturating_sub(5);
    named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// Milliseconds of an ISO 8601 time within its year and a bit: good for differences, which is all
/// that is asked for. None when it is not one.
fn milliseconds(time: &str) -> Option<f64> {
    let (date, rest) = time.split_once('T')?;
    let mut parts = date.split('-').map(str::parse::<f64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let mut parts = rest[..end].split(':').map(str::parse::<f64>);
    let (hour, minute, second) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    // Every recording is in one zone, so the zone does not matter to a difference.
    let days = year * 372.0 + month * 31.0 + day;
    Some((((days * 24.0 + hour) * 60.0 + minute) * 60.0 + second) * 1e3)
}
