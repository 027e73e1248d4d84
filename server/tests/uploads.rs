//! Files that users send: what is taken, who may have it, what is made of it in the background;
//! and what is tried with them that should not be.
//! In: forms with files of many kinds. Out: what is kept, under which headers it is given, and
//! that nothing is left of what was refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use bytes::Bytes;
use ebbtide_server::{Config, Database, Limits};
use hyper::Response;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::caller::Caller;
use support::postgres::Postgres;
use support::{soon, start};

const KIND: &str = "multipart/form-data; boundary=edge";

fn form(name: &str, content: &[u8]) -> Bytes {
    let head = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
        Content-Type: text/html\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--edge--\r\n"].concat().into()
}

async fn upload(who: &Caller, name: &str, content: &[u8]) -> (u16, Value) {
    let reply = who.exchange("POST", "/uploads", Some((form(name, content), KIND))).await;
    (reply.status().as_u16(), serde_json::from_slice(reply.body()).unwrap())
}

async fn fetch(who: &Caller, path: &str) -> Response<Bytes> {
    who.exchange("GET", path, None).await
}

/// A PNG of one colour, as large as it says, that packs to very little.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut rows = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0; 1 + width as usize * 3];
    for _ in 0..height {
        rows.write_all(&row).unwrap();
    }
    png_of(width, height, &rows.finish().unwrap())
}

/// The same with any packed rows.
fn png_of(width: u32, height: u32, rows: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let head = [&size[..], &[8, 2, 0, 0, 0]].concat();
    for (kind, content) in [(b"IHDR", &head[..]), (b"IDAT", rows), (b"IEND", &[])] {
        file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let begin = file.len();
        file.extend_from_slice(kind);
        file.extend_from_slice(content);
        let mut sum = flate2::Crc::new();
        sum.update(&file[begin..]);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Asks until the small picture has become something.
async fn small(who: &Caller, id: &Value) -> String {
    let settled = async {
        loop {
            let (_, list) = who.get("/uploads").await;
            let all = list["uploads"].as_array().unwrap();
            let one = all.iter().find(|one| one["id"] == *id).unwrap();
            let state = one["small"].as_str().unwrap().to_owned();
            if state != "waiting" {
                return state;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("a small picture", settled).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    kept_and_shown(Database::File(folder.path().join("chat")), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let cluster = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    kept_and_shown(Database::Postgres(cluster.url("postgres")), folder.path()).await;
}

async fn kept_and_shown(database: Database, folder: &Path) {
    let uploads = Some(folder.join("files"));
    let server = start(Config { database, uploads, ..Config::default() }).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    let (ben, _) = guest.register("Ben").await;
    let (eve, _) = guest.register("Eve").await;
    let picture = png(640, 320);
    let (status, told) = upload(&ada, "../../a [sea].html", &picture).await;
    assert_eq!(status, 201, "{told}");
    let facts = [&told["name"], &told["media_type"], &told["width"], &told["bytes"]];
    assert_eq!(
        facts,
        [&json!("a [sea].html"), &json!("image/png"), &json!(640), &json!(picture.len())]
    );
    assert_eq!(small(&ada, &told["id"]).await, "made");
    let path = format!("/uploads/{}", told["id"]);
    assert_eq!(told["url"], format!("/api/v1{path}"));
    headers(&ada, &path, &picture).await;

    // Nobody else has it, until it is shown; where it was shown, whoever may read has it.
    let have = async |who: &Caller, status: u16| {
        for path in [path.clone(), format!("{path}/small")] {
            assert_eq!(fetch(who, &path).await.status().as_u16(), status, "{path}");
        }
    };
    for who in [&ben, &eve, &guest] {
        have(who, 404).await;
    }
    let content = format!("![a sea](/api/v1{path})");
    let stolen = json!({ "content": content });
    assert_eq!(eve.call("POST", "/rooms/lobby/messages", Some(stolen)).await.0, 201);
    have(&eve, 404).await;
    let direct = json!({ "to": "Ben", "content": content });
    assert_eq!(ada.call("POST", "/messages/direct", Some(direct)).await.0, 201);
    have(&ben, 200).await;
    have(&eve, 404).await;
    let den = json!({ "id": "den", "public": false });
    assert_eq!(ada.call("POST", "/rooms", Some(den)).await.0, 201);
    let new = json!({ "content": content });
    assert_eq!(ada.call("POST", "/rooms/den/messages", Some(new.clone())).await.0, 201);
    have(&eve, 404).await;
    let eve_id = eve.get("/users/me").await.1["id"].clone();
    let member = format!("/rooms/den/members/{eve_id}");
    assert_eq!(ada.call("PUT", &member, Some(json!({ "role": "member" }))).await.0, 204);
    have(&eve, 200).await;
    assert_eq!(ada.call("DELETE", &member, None).await.0, 204);
    have(&eve, 404).await;
    assert_eq!(ada.call("POST", "/rooms/lobby/messages", Some(new)).await.0, 201);
    have(&guest, 200).await;
    // The same content is kept once; nothing is left of how it came.
    let (_, again) = upload(&ben, "b.png", &picture).await;
    assert_eq!(again["sha256"], told["sha256"]);
    assert_eq!(small(&ben, &again["id"]).await, "made");
    let kept = files(&folder.join("files"));
    assert_eq!(kept.len(), 3, "a text, a picture and a small one: {kept:?}");
}

/// Under which headers a picture and other things are given.
async fn headers(ada: &Caller, path: &str, picture: &[u8]) {
    let reply = fetch(ada, path).await;
    let header = |reply: &Response<Bytes>, name: &str| {
        reply
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(reply.body(), picture);
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-disposition", "inline; filename*=UTF-8''a%20%5Bsea%5D.html"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "private, max-age=3600"),
    ] {
        assert_eq!(header(&reply, name), value, "{name}");
    }
    assert!(header(&reply, "content-security-policy").contains("sandbox"));
    let small = fetch(ada, &format!("{path}/small")).await;
    assert_eq!(small.body()[16..24], [0, 0, 1, 0, 0, 0, 0, 128], "256 times 128 pixels");
    // What could be a page is text, and is saved.
    let html = b"<!doctype html><script>alert(1)</script>";
    let (_, told) = upload(ada, "page.html", html).await;
    assert_eq!(
        (&told["media_type"], &told["small"]),
        (&json!("text/plain; charset=utf-8"), &json!("none"))
    );
    let path = format!("/uploads/{}", told["id"]);
    let reply = fetch(ada, &path).await;
    assert_eq!(header(&reply, "content-type"), "text/plain; charset=utf-8");
    assert!(header(&reply, "content-disposition").starts_with("attachment;"));
    assert_eq!(fetch(ada, &format!("{path}/small")).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_should_not_be_sent_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { upload_bytes: 100_000, upload_quota: 1_000_000, ..Limits::default() };
    let uploads = Some(folder.path().to_owned());
    let server = start(Config { limits, uploads, ..Config::default() }).await;
    let guest = Caller::new(&server).await;
    let (ada, _) = guest.register("Ada").await;
    assert_eq!(upload(&guest, "a.txt", b"hello").await.0, 401);
    let bomb = png_of(16_000, 16_000, &[0; 100]);
    let wide = png_of(1_000_000, 1, &[0; 100]);
    let torn = b"\xff\xd8\xff\xe0\0\x10JFIF";
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    for (name, content, status, code) in [
        ("long.txt", &[b'x'; 100_001][..], 413, "too_long"),
        ("far.txt", &[b'x'; 300_000], 413, "too_long"),
        ("run.png", b"\x7fELF\x02\x01\x01\0", 415, "bad_kind"),
        ("run.jpg", b"MZ\x90\0\x03\0\0\0", 415, "bad_kind"),
        ("empty.png", b"", 415, "bad_kind"),
        ("bomb.png", &bomb, 422, "too_many_pixels"),
        ("wide.png", &wide, 422, "too_many_pixels"),
        ("torn.jpg", torn, 422, "bad_picture"),
    ] {
        let (got, problem) = upload(&ada, name, content).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{name}: {problem}");
    }
    for (body, kind, status, code) in [
        ("{}", "application/json", 415, "not_a_form"),
        ("--edge", "multipart/form-data", 415, "not_a_form"),
        ("", KIND, 400, "bad_form"),
        ("--edge\r\n\r\n\r\n--edge--", KIND, 400, "bad_form"),
        ("--edge\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx", KIND, 400, "bad_form"),
        (
            "--edge\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--edge--",
            KIND,
            422,
            "no_file",
        ),
    ] {
        let body = Some((Bytes::from(body.to_owned()), kind));
        let reply = ada.exchange("POST", "/uploads", body).await;
        let problem: Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(
            (reply.status().as_u16(), &problem["code"]),
            (status, &json!(code)),
            "{problem}"
        );
    }
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new(), "nothing is left");
    // Text all the same, and never shown as anything else.
    let (status, told) = upload(&ada, "x.svg", svg).await;
    assert_eq!((status, &told["media_type"]), (201, &json!("text/plain; charset=utf-8")));
    for path in ["/uploads/0", "/uploads/999", "/uploads/../../secret", "/uploads/%2e%2e%2fchat"] {
        let status = fetch(&ada, path).await.status().as_u16();
        assert!(status == 404 || status == 400, "{path}: {status}");
    }
    // Nobody fills the disk alone.
    let mut sent = 0;
    while upload(&ada, "x.txt", format!("{sent}{}", "x".repeat(99_000)).as_bytes()).await.0 == 201 {
        sent += 1;
        assert!(sent < 20, "the quota is kept");
    }
    assert_eq!(upload(&ada, "x.txt", b"x").await.1["code"], "quota");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_picture_is_tried_again_and_then_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { retry: Duration::from_millis(10), ..Limits::default() };
    // Small pictures cannot be written where a file stands for their folder.
    std::fs::write(folder.path().join("small"), "").unwrap();
    let uploads = Some(folder.path().to_owned());
    let server = start(Config { limits, uploads, ..Config::default() }).await;
    let (ada, _) = Caller::new(&server).await.register("Ada").await;
    let (_, told) = upload(&ada, "a.png", &png(300, 300)).await;
    assert_eq!(small(&ada, &told["id"]).await, "failed");
    // A head that promises less than there is, and one that promises what does not come: once.
    for rows in [&png(900, 900)[41..], &[]] {
        let (status, told) = upload(&ada, "liar.png", &png_of(8, 8, rows)).await;
        assert_eq!(status, 201, "{told}");
        assert_eq!(small(&ada, &told["id"]).await, "failed");
    }
    let (_, _, text) = server.ask("GET", "/metrics", "").await;
    for (became, count) in [("made", 0), ("retried", 2), ("failed", 3)] {
        let line = format!("ebbtide_small_pictures_total{{became=\"{became}\"}} {count}\n");
        assert!(text.contains(&line), "{line}: {text}");
    }
    std::fs::remove_file(folder.path().join("small")).unwrap();
    let (_, told) = upload(&ada, "b.png", &png(301, 300)).await;
    assert_eq!(small(&ada, &told["id"]).await, "made");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_come_whole_is_removed() {
    use tokio::io::AsyncWriteExt;
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    let old = incoming.join("of a process that ended");
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).unwrap();
    let uploads = Some(folder.path().to_owned());
    let server = start(Config { uploads, ..Config::default() }).await;
    support::until("the old one to be gone", false, || old.exists()).await;
    let (ada, _) = Caller::new(&server).await.register("Ada").await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Type: {KIND}\r\n\
        Authorization: Bearer {}\r\nContent-Length: 50000\r\n\r\n",
        ada.token.as_ref().unwrap()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&form("half.txt", b"the first half")[..120]).await.unwrap();
    let count = || std::fs::read_dir(&incoming).unwrap().count();
    support::until("a file that comes in", 1, count).await;
    drop(stream);
    support::until("nothing", 0, count).await;
}

/// The most memory this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_takes_no_more_memory_than_its_pixels() {
    let server = start(Config::default()).await;
    let (ada, _) = Caller::new(&server).await.register("Ada").await;
    // Twelve megabytes of pixels in as many kilobytes, unpacked twice.
    let picture = png(2_048, 2_048);
    let before = peak();
    let (status, told) = upload(&ada, "large.png", &picture).await;
    assert_eq!(status, 201, "{told}");
    assert_eq!(small(&ada, &told["id"]).await, "made");
    let grown = (peak() - before) >> 20;
    assert!(grown < 64, "{grown} MiB");
}
