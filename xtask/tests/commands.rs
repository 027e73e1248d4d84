//! The command as a process: what it answers to wrong words, and the target of the benches, met
//! over the wire.
//!
//! Comes in: the built `xtask`. Goes out: exit codes, replies, counts. What the commands check and
//! measure is tested where it stands.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

#[test]
fn wrong_words_end_with_the_usage_and_2() {
    for words in [&[][..], &["tset"], &["bench"], &["setup", "all"]] {
        let output = Command::new(XTASK).args(words).output().expect("xtask runs");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{words:?}");
    }
}

/// A machine with nothing on its PATH but what the case puts there.
#[test]
fn setup_says_what_to_install_by_hand() {
    let refusing = ("apt-get", "#!/bin/sh\necho \"apt-get $*\"\nexit 7\n");
    let sudo = ("sudo", "#!/bin/sh\nexec \"$@\"\n");
    for (programs, expected) in [
        (
            &[][..],
            "missing: make tmux chromium golang-go valgrind gcc postgresql redis-server python3 \
             g++; this",
        ),
        (
            &[refusing, sudo],
            "by hand: make tmux chromium golang-go valgrind gcc postgresql redis-server python3 \
             g++",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        symlink("/usr/bin/env", folder.path().join("env")).expect("a link");
        for (name, script) in programs {
            let path = folder.path().join(name);
            std::fs::write(&path, script).expect("a script");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
                .expect("may be run");
        }
        let mut command = Command::new(XTASK);
        let output = command.arg("setup").env("PATH", folder.path()).output().expect("xtask runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn the_target_answers_each_request_once_and_counts_them() {
    let mut child = Command::new(XTASK)
        .arg("target")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("xtask runs");
    let mut asks = child.stdin.take().expect("stdin");
    let mut tells = BufReader::new(child.stdout.take().expect("stdout"));
    let mut read_line = || {
        let mut line = String::new();
        tells.read_line(&mut line).expect("a line");
        line
    };
    let address = read_line();
    let address = address.trim().strip_prefix("listening on ").expect("an address").to_owned();

    let mut connections: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(&address).expect("a connection")).collect();
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b HTTP/1.1\r\nHost: b\r\n\r\n"] {
        for connection in &mut connections {
            connection.write_all(request.as_bytes()).expect("sent");
            assert_eq!(read_reply(connection), b"ebb and flow.\n");
        }
    }
    asks.write_all(b"\n").expect("asked");
    assert!(read_line().starts_with("6 "), "three connections, two requests each");
    asks.write_all(b"\n").expect("asked");
    assert_eq!(read_line(), "0 0\n", "counted from the last question on");
    drop(asks);
    assert!(child.wait().expect("waited").success());
}

/// The body of one reply, by its length.
fn read_reply(connection: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).expect("a length")];
    connection.read_exact(&mut body).expect("a body");
    body
}
