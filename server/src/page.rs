//! The chat page, built into the program.
//! In: nothing. Out: the document at `/`, and what it loads, under a path that names their content
//! and may be kept for ever; with headers that let the page load from and talk to nowhere but its
//! own server.
//! Leaves to others: everything the page says (`page/*.js` speak the protocols of `sio` and
//! `rest`).

use crate::app::App;
use crate::problem::Problem;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use std::sync::{Arc, LazyLock};

/// No inline code, nothing from elsewhere, no frames, and no text that becomes markup or code.
/// `'self'` covers the WebSocket of the same origin in every current browser; pictures that need
/// a token to be read are shown as blobs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What the content that a path names may be kept for: a year, the longest there is.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What stands in the document for the path of its files.
const PLACE: &str = "@/";

/// What the page loads.
const FILES: [File; 19] = [
    script("account.js", include_bytes!("../page/account.js")),
    script("chat.js", include_bytes!("../page/chat.js")),
    script("composer.js", include_bytes!("../page/composer.js")),
    script("conversation.js", include_bytes!("../page/conversation.js")),
    script("dialogs.js", include_bytes!("../page/dialogs.js")),
    script("dom.js", include_bytes!("../page/dom.js")),
    script("emoji.js", include_bytes!("../page/emoji.js")),
    script("files.js", include_bytes!("../page/files.js")),
    script("invite.js", include_bytes!("../page/invite.js")),
    script("main.js", include_bytes!("../page/main.js")),
    script("markdown.js", include_bytes!("../page/markdown.js")),
    script("message.js", include_bytes!("../page/message.js")),
    script("messages.js", include_bytes!("../page/messages.js")),
    script("notices.js", include_bytes!("../page/notices.js")),
    script("sidebar.js", include_bytes!("../page/sidebar.js")),
    script("sio.js", include_bytes!("../page/sio.js")),
    File::of("style.css", "text/css; charset=utf-8", include_bytes!("../page/style.css")),
    File::of("icons.svg", "image/svg+xml", include_bytes!("../page/icons.svg")),
    File::of("logo.svg", "image/svg+xml", include_bytes!("../page/logo.svg")),
];

/// The hash of all files, by which their path changes when one of them does.
const HASH: u64 = hash(&FILES);

/// The document, which names the path of the files.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let text = include_str!("../page/index.html");
    text.replace(&format!("\"{PLACE}"), &format!("\"/page/{HASH:016x}/")).into()
});

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

impl File {
    const fn of(name: &'static str, kind: &'static str, content: &'static [u8]) -> Self {
        Self { name, kind, content }
    }
}

const fn script(name: &'static str, content: &'static [u8]) -> File {
    File::of(name, "text/javascript; charset=utf-8", content)
}

/// FNV-1a of 64 bits, which tells versions of our own files apart; nobody else writes them.
const fn hash(files: &[File]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut file = 0;
    while file < files.len() {
        let content = files[file].content;
        let mut at = 0;
        while at < content.len() {
            hash = (hash ^ content[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        file += 1;
    }
    hash
}

/// The paths of the page.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(document))
        .route("/page/{hash}/{name}", get(part))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
}

/// A document of the server's own, with the headers of all of them.
pub(crate) fn file(kind: &'static str, text: impl IntoResponse) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

async fn document(asked: HeaderMap) -> Response {
    // Of the document and of all it loads.
    static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
        let own = File::of("", "", include_bytes!("../page/index.html"));
        let tag = format!("\"{HASH:016x}{:016x}\"", hash(&[own]));
        HeaderValue::try_from(tag).expect("hexadecimal digits and quotes are a header's value")
    });
    let mut response = if asked.get(header::IF_NONE_MATCH) == Some(&*TAG) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file("text/html; charset=utf-8", DOCUMENT.clone())
    };
    response.headers_mut().insert(header::ETAG, TAG.clone());
    response
}

async fn part(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(found) = FILES.iter().find(|file| file.name == name) else {
        let detail = format!("the page has no file `{name}`");
        return Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response();
    };
    let mut response = file(found.kind, Bytes::from_static(found.content));
    // Another process of another version may have given the document: then what is here goes out,
    // and is asked for again the next time.
    if hash == format!("{HASH:016x}") {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    }
    response
}
