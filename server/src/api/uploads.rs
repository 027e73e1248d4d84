//! Files of users: taken in, listed, given out.
//! In: forms with a file; numbers. Out: entries, and files with headers under which no browser
//! runs anything in them.
//! Leaves to others: where they lie and what they are (`uploads`), who may have them
//! (`auth::access`).

use super::extract::{Account, Asked, At, Caller};
use super::operation::{Api, Needs, get, post};
use super::{Backwards, json, next, not_found, unprocessable};
use crate::app::App;
use crate::auth::access;
use crate::problem::Problem;
use crate::store::{self, NewUpload};
use crate::uploads::{Form, FormError, Incoming, Kind, PictureError, Piece, UploadError, Whole};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// Bytes of a form besides its file: heads, boundaries, small fields.
const FORM_BYTES: u64 = 64 << 10;

/// Bytes of a file's name that are kept.
const NAME_BYTES: usize = 120;

/// Bytes read of a file at a time.
const PORTION: usize = 64 << 10;

/// Whatever it is, it is shown alone and does nothing: no scripts, no forms, no frames.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// What a number names never changes; but who may have it may.
const KEPT: &str = "private, max-age=3600";

/// Enters the operations.
pub(super) fn add(api: Api) -> Api {
    api.add(
        get("/uploads", "Files that you have uploaded, newest first")
            .query::<Backwards>()
            .answers::<Uploads>(200),
        list,
    )
    .add(
        post("/uploads", "Upload a file, as the part `file` of a form")
            .form()
            .answers::<Upload>(201)
            .problems(&[409]),
        take,
    )
    .add(
        get("/uploads/{id}", "A file, if it is yours or was shown where you may read")
            .needs(Needs::Entry)
            .answers_plainly(200)
            .answers_plainly(304),
        give,
    )
    .add(
        get("/uploads/{id}/small", "A small picture of a picture; while there is none, itself")
            .needs(Needs::Entry)
            .answers_plainly(200)
            .answers_plainly(304),
        give_small,
    )
}

/// Uploaded files, newest first.
#[derive(JsonSchema, Serialize)]
struct Uploads {
    uploads: Vec<Upload>,
    next: Option<i64>,
}

/// An uploaded file.
#[derive(JsonSchema, Serialize)]
struct Upload {
    id: i64,
    /// Where it is. Who names this in a message shows the file to whoever may read the message.
    url: String,
    name: String,
    /// As its content says.
    media_type: String,
    bytes: i64,
    /// SHA-256 of its content, in hex.
    sha256: String,
    /// Of a picture, in pixels.
    width: Option<i64>,
    height: Option<i64>,
    /// The small picture, at `url` and `/small`: `none` is made, `waiting`, `made`, `failed`.
    small: String,
    /// Unix time in milliseconds.
    timestamp: i64,
}

impl From<store::Upload> for Upload {
    fn from(upload: store::Upload) -> Self {
        let store::Upload { id, hash, name, media_type, bytes, at_ms, size, small, .. } = upload;
        let (width, height) = size.unzip();
        let url = format!("/api/v1/uploads/{id}");
        let (sha256, timestamp) = (hash, at_ms);
        Self { id, url, name, media_type, bytes, sha256, width, height, small, timestamp }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let detail = error.to_string();
        match error {
            UploadError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            UploadError::TooLong(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", detail).closing()
            }
            UploadError::Kind => {
                let detail = format!(
                    "{detail} (PNG, JPEG, GIF and WebP, PDF, ZIP, MP4, Ogg and plain text are)"
                );
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_kind", detail)
            }
            UploadError::Picture(PictureError::TooLarge { .. }) => {
                unprocessable("too_many_pixels", detail)
            }
            UploadError::Picture(PictureError::Broken(_)) => unprocessable("bad_picture", detail),
            UploadError::Picture(PictureError::File(_)) | UploadError::File(_) => {
                tracing::error!(%detail, "an upload failed");
                let detail = "the file could not be kept";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        let (status, code) = match error {
            FormError::NoForm => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_a_form"),
            FormError::BadHead | FormError::Incomplete => (StatusCode::BAD_REQUEST, "bad_form"),
        };
        Self::new(status, code, error.to_string()).closing()
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Account(who): Account,
    Asked(paging): Asked<Backwards>,
) -> Result<Response, Problem> {
    let limit = paging.limit();
    let list = app.store.uploads(who.user, paging.before(), limit).await?;
    let next = next(&list, limit, |upload| upload.id);
    let uploads = list.into_iter().map(Upload::from).collect();
    Ok(json(StatusCode::OK, &Uploads { uploads, next }))
}

async fn take(
    State(app): State<Arc<App>>,
    Account(who): Account,
    request: Request,
) -> Result<Response, Problem> {
    let quota = app.limits.upload_quota;
    let so_far = app.store.uploaded_bytes(who.user).await?;
    if u64::try_from(so_far).unwrap_or(0) >= quota {
        let detail = format!("you have uploaded {so_far} bytes, at most {quota} are kept of one");
        return Err(Problem::new(StatusCode::CONFLICT, "quota", detail).closing());
    }
    let reading = receive(&app, request);
    let Ok(received) = tokio::time::timeout(app.limits.upload_timeout, reading).await else {
        let detail = "the file did not come in time";
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail).closing());
    };
    let (name, incoming) = received?;
    let Whole { hash, bytes, kind, size } = app.uploads.finish(incoming).await?;
    let (media_type, is_waiting) = (kind.media_type(), kind.can_be_made_small());
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let (user, hash) = (who.user, hash.as_str());
    let new = NewUpload { hash, user, name: &name, media_type, bytes, size, is_waiting };
    let (id, at_ms) = app.store.add_upload(new).await?;
    if is_waiting {
        app.uploads.jobs.ring();
    }
    let upload = store::Upload {
        id,
        hash: hash.to_owned(),
        user,
        name,
        media_type: media_type.to_owned(),
        bytes,
        at_ms,
        size: size.map(|(width, height)| (width.into(), height.into())),
        small: if is_waiting { "waiting" } else { "none" }.to_owned(),
    };
    Ok(json(StatusCode::CREATED, &Upload::from(upload)))
}

/// Reads a form to its end; gives the file in it, and what it is called.
async fn receive(app: &App, request: Request) -> Result<(String, Incoming), Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let mut form = Form::new(kind.unwrap_or_default())?;
    let most = app.limits.upload_bytes.saturating_add(FORM_BYTES);
    let promised = request.headers().get(header::CONTENT_LENGTH);
    let promised = promised.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if promised.is_some_and(|promised| promised > most) {
        return Err(UploadError::TooLong(app.limits.upload_bytes).into());
    }
    let mut body = request.into_body().into_data_stream();
    let (mut read, mut is_in_file) = (0, false);
    let mut file: Option<(String, Incoming)> = None;
    while let Some(portion) = body.next().await {
        let portion = portion.map_err(|error| {
            let detail = format!("the body cannot be read: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "bad_body", detail)
        })?;
        read += portion.len() as u64;
        if read > most {
            return Err(UploadError::TooLong(app.limits.upload_bytes).into());
        }
        form.push(&portion);
        while let Some(piece) = form.next()? {
            match piece {
                Piece::Part(head) => {
                    is_in_file = head.name == "file" && file.is_none();
                    if is_in_file {
                        let name = plain_name(head.file.as_deref().unwrap_or_default());
                        file = Some((name, app.uploads.begin().await?));
                    }
                }
                Piece::Content(content) => {
                    if let Some((_, file)) = file.as_mut().filter(|_| is_in_file) {
                        file.write(&content).await?;
                    }
                }
                Piece::End => is_in_file = false,
            }
        }
    }
    form.finish()?;
    file.ok_or_else(|| unprocessable("no_file", "the form has no part `file`"))
}

/// What a file is called, without folders and signs that are none. It is shown, and never a path.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut plain = String::new();
    for sign in last.chars().filter(|sign| !sign.is_control()) {
        if plain.len() + sign.len_utf8() > NAME_BYTES {
            break;
        }
        plain.push(sign);
    }
    let plain = plain.trim().trim_start_matches('.').to_owned();
    if plain.is_empty() { "file".to_owned() } else { plain }
}

/// The upload of that number, if the caller may have it.
async fn found(app: &App, caller: &Caller, id: i64) -> Result<store::Upload, Problem> {
    let none = || not_found("upload");
    let upload = app.store.upload(id).await?.ok_or_else(none)?;
    let who = caller.who();
    // Who has sent it is known without looking further.
    if access::may_fetch(who, upload.user, false, &[]).is_ok() {
        return Ok(upload);
    }
    let is_shown = match caller.user() {
        Some(user) => app.store.is_shown_to(id, user).await?,
        None => false,
    };
    let rooms = app.store.shown_in(id, caller.user()).await?;
    // Told in the same words as of one that is not there.
    access::may_fetch(who, upload.user, is_shown, &rooms).map_err(|_| none())?;
    Ok(upload)
}

async fn give(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    At(id): At<i64>,
) -> Result<Response, Problem> {
    let upload = found(&app, &caller, id).await?;
    let is_picture = Kind::of(&upload.media_type).is_some_and(Kind::is_picture);
    let way = if is_picture { "inline" } else { "attachment" };
    let described = Described {
        tag: &upload.hash,
        media_type: &upload.media_type,
        disposition: format!("{way}; filename*=UTF-8''{}", percent(&upload.name)),
    };
    send(&app.uploads.file(&upload.hash), &headers, &described).await
}

async fn give_small(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    At(id): At<i64>,
) -> Result<Response, Problem> {
    let upload = found(&app, &caller, id).await?;
    if !Kind::of(&upload.media_type).is_some_and(Kind::is_picture) {
        return Err(not_found("picture"));
    }
    let disposition = "inline".to_owned();
    if upload.small == "made" {
        let tag = format!("{}-small", upload.hash);
        let described = Described { tag: &tag, media_type: "image/png", disposition };
        return send(&app.uploads.small(&upload.hash), &headers, &described).await;
    }
    let (tag, media_type) = (&*upload.hash, &*upload.media_type);
    let described = Described { tag, media_type, disposition };
    let mut response = send(&app.uploads.file(&upload.hash), &headers, &described).await?;
    // The small one comes in its place before long.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// How a file is to be understood.
struct Described<'a> {
    tag: &'a str,
    media_type: &'a str,
    disposition: String,
}

/// Percent-encoding of RFC 8187, for all but letters and digits.
fn percent(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

async fn send(
    path: &Path,
    asked: &HeaderMap,
    described: &Described<'_>,
) -> Result<Response, Problem> {
    let value = |text: &str| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let tag = value(&format!("\"{}\"", described.tag));
    let headers: [(HeaderName, HeaderValue); 6] = [
        (header::CONTENT_TYPE, value(described.media_type)),
        (header::CONTENT_DISPOSITION, value(&described.disposition)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static(KEPT)),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (header::ETAG, tag.clone()),
    ];
    if asked.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let gone = |error: std::io::Error| {
        tracing::error!(%error, path = %path.display(), "an upload cannot be read");
        not_found("file any more")
    };
    let file = tokio::fs::File::open(path).await.map_err(gone)?;
    let length = file.metadata().await.map_err(gone)?.len();
    let portions = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut portion = Vec::with_capacity(PORTION);
        let read = (&mut file).take(PORTION as u64).read_to_end(&mut portion).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(portion), file)))
    });
    let mut response = (headers, Body::from_stream(portions)).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        let long = "é".repeat(NAME_BYTES);
        for (name, plain) in [
            ("a.png", "a.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\x.txt", "x.txt"),
            ("..", "file"),
            (".htaccess", "htaccess"),
            ("", "file"),
            ("a\r\nset-cookie: x\0", "aset-cookie: x"),
            (&long, &long[..NAME_BYTES]),
        ] {
            assert_eq!(plain_name(name), plain, "{name}");
        }
        assert_eq!(percent("a [é]\".png"), "a%20%5B%C3%A9%5D%22.png");
    }
}
