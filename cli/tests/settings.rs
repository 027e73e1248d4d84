//! The settings of `ebb serve` as a process takes them: file, environment and flags of the system.
//! In: the real program. Out: what it prints, and how it ends when something is wrong.
//! What each setting may say is left to the unit tests of the table.

use std::process::{Command, Stdio};

#[test]
fn settings_come_from_everywhere_and_are_told_with_their_origin() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chat.toml");
    let path = path.to_str().expect("a path of text");
    let serve = |file: &str, words: &[&str]| {
        std::fs::write(path, file).expect("written");
        Command::new(env!("CARGO_BIN_EXE_ebb"))
            .args(["serve", "--config", path])
            .args(words)
            .env("EBB_SERVER_DRAIN", "3s")
            .env("EBB_SERVER_SECRET", "0123456789abcdef0123456789abcdef")
            .env("PORT", "5")
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    };
    let file = "rooms = [\"tea\", \"lobby\"]\nport = 4\n";
    let output = serve(file, &["--print-config", "--origin", "https://a.example"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for (value, origin) in [
        ("rooms = [\"tea\", \"lobby\"]", format!("{path}:1")),
        ("port = 5", "PORT".to_owned()),
        ("drain = \"3s\"", "EBB_SERVER_DRAIN".to_owned()),
        ("origins = [\"https://a.example\"]", "--origin".to_owned()),
        ("secret = \"***\"", "EBB_SERVER_SECRET".to_owned()),
        ("queue_bytes = \"1MiB\"", "default".to_owned()),
    ] {
        let line = said.lines().find(|line| line.starts_with(value));
        let line = line.unwrap_or_else(|| panic!("no `{value}` in {said}"));
        assert!(line.ends_with(&format!("# {origin}")), "{line}");
    }
    assert!(!said.contains("0123456789abcdef"), "{said}");

    let output = serve("prot = 4\n", &["--requests", "fast", "--port", "70000"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for fault in [
        format!("{path}:1: there is no setting `prot` (did you mean `port`?)"),
        "--port: `70000` is no port".to_owned(),
        "--requests: `fast` is no rate".to_owned(),
    ] {
        assert!(said.contains(&fault), "no `{fault}` in {said}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(output.stdout.is_empty());
}
