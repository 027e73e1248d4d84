//! The chat page in a real Chromium, as people use it; and how it is delivered.
//! In: a script that drives two windows over the debugging pipe. Out: what both show.
//! Leaves to others: the protocols underneath (`sio`, `rest`). Chromium, Node and the script's
//! packages come by `cargo xtask setup`.

mod support;

use ebbtide_server::{Config, Limits};
use std::path::Path;
use support::start;

/// Cases of the script.
const CASES: usize = 13;

/// Messages kept of a room: more than a case reads back to.
const HISTORY: usize = 400;

#[tokio::test]
async fn people_chat_in_a_browser() {
    let limits = Limits { history: HISTORY, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() }).await;
    let strict = start(Config { open: false, ..Config::default() }).await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let npm = std::env::var_os("EBBTIDE_NPM").map_or(here.join("../xtask/npm"), Into::into);
    let is_there = npm.join("node_modules/socket.io-client").is_dir();
    assert!(is_there, "run `cargo xtask setup`: no `socket.io-client` in {}", npm.display());
    let mut node = tokio::process::Command::new("node");
    node.arg(here.join("tests/page/cases.cjs")).arg(npm).kill_on_drop(true);
    node.args([&server, &strict].map(|one| format!("http://{}/", one.address)));
    let run =
        node.output().await.unwrap_or_else(|error| panic!("cargo xtask setup: node: {error}"));
    let printed = String::from_utf8_lossy(&run.stdout).into_owned();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(printed.contains(&format!("page: {CASES} of {CASES}")), "{printed}\n{said}");
    for mut server in [server, strict] {
        server.stop();
        server.ended().await;
    }
}

#[tokio::test]
async fn what_the_page_loads_is_kept_until_it_changes() {
    let server = start(Config::default()).await;
    let (_, _, document) = server.ask("GET", "/", "").await;
    let named: Vec<&str> = document.split('"').filter(|part| part.starts_with("/page/")).collect();
    assert!(named.len() > 15, "{document}");
    assert!(!document.contains("@/"), "a place was not filled in: {document}");
    for name in named {
        let path = name.split('#').next().unwrap_or_default();
        let reply = server.reply("GET", path, "").await;
        assert_eq!(reply.status().as_u16(), 200, "{path}");
        let kept = reply.headers()["cache-control"].to_str().unwrap();
        assert!(kept.contains("immutable"), "{path}: {kept}");
    }
    // Under any other hash the same comes, and is not kept.
    let reply = server.reply("GET", "/page/0/main.js", "").await;
    assert_eq!(reply.headers()["cache-control"], "no-cache");
}
