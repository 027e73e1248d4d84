//! RFC 6455 to the letter: raw bytes in, and what the server makes of them.
//! In: a handshake done by hand and frames that no library would write. Out: the messages and the
//! close code that come back. The cases are those of the Autobahn suite that a server can break:
//! framing, control frames, fragments, UTF-8, close codes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_server::Config;
use support::{Running, soon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A frame of a client with the mask 0: head, length, mask, content.
fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match content.len() {
        len @ 0..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(content);
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

/// A connection whose handshake is done and whose welcome is read.
async fn shake_hands(server: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket";
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let head = format!("{head}\r\n{key}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        reply.push(soon("the handshake", stream.read_u8()).await.unwrap());
    }
    let reply = String::from_utf8(reply).unwrap().to_lowercase();
    assert!(reply.starts_with("http/1.1 101"), "{reply}");
    // The key of RFC 6455 section 1.3 and its answer.
    assert!(reply.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{reply}");
    let (first, content) = read_frame(&mut stream).await.unwrap();
    assert!(first == 0x81 && String::from_utf8_lossy(&content).contains("welcome"));
    stream
}

/// The next frame: its first byte and its content; none at the end.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = soon("a frame", stream.read_u8()).await.ok()?;
    let second = stream.read_u8().await.ok()?;
    assert!(second < 0x80, "a server does not mask");
    let len = match second {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => usize::try_from(stream.read_u64().await.ok()?).unwrap(),
        len => usize::from(len),
    };
    let mut content = vec![0; len];
    stream.read_exact(&mut content).await.ok()?;
    Some((first, content))
}

/// What comes back, at most so many: texts' contents, `pong ...`, codes of errors, `close CODE`.
async fn told(stream: &mut TcpStream, most: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < most
        && let Some((first, content)) = read_frame(stream).await
    {
        told.push(match first {
            0x81 => {
                let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
                let field = if json["type"] == "error" { "code" } else { "content" };
                json[field].as_str().unwrap().to_owned()
            }
            0x8A => format!("pong {}", String::from_utf8_lossy(&content)),
            0x88 if content.is_empty() => "close".to_owned(),
            0x88 => format!("close {}", u16::from_be_bytes([content[0], content[1]])),
            other => panic!("frame {other:#x}"),
        });
    }
    told
}

/// A message whose content is the word, in JSON.
fn said(word: &[u8]) -> Vec<u8> {
    [&br#"{"type":"user","content":""#[..], word, br#""}"#].concat()
}

/// Cases: a name, what is sent, what comes back. A close of ours ends those that do not end
/// themselves.
fn cases() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let hi = said(b"hi");
    let (begin, end) = hi.split_at(10);
    let bye = || close(1000, b"");
    let mut cases = vec![
        ("a message", [frame(0x81, &hi), bye()].concat(), vec!["hi", "close 1000"]),
        (
            "a length of two bytes",
            {
                let long = said(&[b'x'; 200]);
                [frame(0x81, &long), bye()].concat()
            },
            vec![LONG, "close 1000"],
        ),
        (
            "no mask",
            {
                let mut bytes = vec![0x81, u8::try_from(hi.len()).unwrap()];
                bytes.extend(&hi);
                bytes
            },
            vec!["close 1002"],
        ),
        ("bytes", [frame(0x82, b"ab"), bye()].concat(), vec!["binary", "close 1000"]),
        ("an empty text", [frame(0x81, b""), bye()].concat(), vec!["bad_json", "close 1000"]),
        ("a ping", [frame(0x89, b"abc"), bye()].concat(), vec!["pong abc", "close 1000"]),
        ("a ping of 125", [frame(0x89, &[b'a'; 125]), bye()].concat(), vec![PONG, "close 1000"]),
        ("a ping of 126", frame(0x89, &[b'a'; 126]), vec!["close 1002"]),
        ("a ping in fragments", frame(0x09, b"abc"), vec!["close 1002"]),
        ("a pong nobody asked for", [frame(0x8A, b"x"), bye()].concat(), vec!["close 1000"]),
        (
            "fragments",
            [frame(0x01, begin), frame(0x80, end), bye()].concat(),
            vec!["hi", "close 1000"],
        ),
        (
            "empty fragments",
            {
                let parts = [frame(0x01, b""), frame(0x00, &hi), frame(0x80, b"")];
                [parts.concat(), bye()].concat()
            },
            vec!["hi", "close 1000"],
        ),
        (
            "a ping between fragments",
            {
                let parts = [frame(0x01, begin), frame(0x89, b"p"), frame(0x80, end)];
                [parts.concat(), bye()].concat()
            },
            vec!["pong p", "hi", "close 1000"],
        ),
        ("a continuation of nothing", frame(0x80, &hi), vec!["close 1002"]),
        ("a fragment of nothing", frame(0x00, &hi), vec!["close 1002"]),
        (
            "a message within a message",
            [frame(0x01, begin), frame(0x81, &hi)].concat(),
            vec!["close 1002"],
        ),
        (
            "UTF-8 cut in two",
            {
                let word = said("é€😀".as_bytes());
                let cut = word.len() - 4;
                [frame(0x01, &word[..cut]), frame(0x80, &word[cut..]), bye()].concat()
            },
            vec!["é€😀", "close 1000"],
        ),
        ("what follows a close", [bye(), frame(0x81, &hi)].concat(), vec!["close 1000"]),
        ("a close without a code", frame(0x88, b""), vec!["close"]),
        ("a close of one byte", frame(0x88, &[3]), vec!["close 1002"]),
        ("a close in fragments", frame(0x08, &[3, 232]), vec!["close 1002"]),
        ("a long reason", close(1000, &[b'x'; 123]), vec!["close 1000"]),
        ("too long a reason", close(1000, &[b'x'; 124]), vec!["close 1002"]),
        (
            "a length beyond all",
            {
                let mut bytes = vec![0x82, 0xFF];
                bytes.extend(u64::MAX.to_be_bytes());
                bytes.extend([0; 4]);
                bytes
            },
            vec!["close 1009"],
        ),
        (
            "a length beyond the limit",
            {
                let mut bytes = vec![0x81, 0xFF];
                bytes.extend((300_u64 << 10).to_be_bytes());
                bytes.extend([0; 4]);
                bytes
            },
            vec!["close 1009"],
        ),
    ];
    for first in [0xC1, 0xA1, 0x91, 0x71 | 0x80] {
        cases.push(("a reserved bit", frame(first, &hi), vec!["close 1002"]));
    }
    for first in [0x83, 0x84, 0x85, 0x86, 0x87, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F] {
        cases.push(("a reserved opcode", frame(first, b""), vec!["close 1002"]));
    }
    let broken: [&[u8]; 9] = [
        b"\xff",
        b"\xc3",
        b"\xc3\x28",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
    ];
    for word in broken {
        cases.push(("no UTF-8", frame(0x81, &said(word)), vec!["close 1007"]));
        cases.push(("no UTF-8 as a reason", close(1000, word), vec!["close 1007"]));
    }
    cases
}

/// Contents and pongs too long to stand in the table.
const LONG: &str = "xxxxxxxxxx x 200";
const PONG: &str = "pong aaaaaaaaaa x 125";

fn shorten(text: String) -> String {
    match text.len() {
        200 => LONG.to_owned(),
        130 => PONG.to_owned(),
        _ => text,
    }
}

#[tokio::test]
async fn every_frame_is_judged_by_the_book() {
    let server = start(Config::default()).await;
    for (name, bytes, expected) in cases() {
        // Whole, and byte by byte.
        for chops in [bytes.len(), 1] {
            let mut stream = shake_hands(&server).await;
            stream.set_nodelay(true).unwrap();
            // What is said is kept before it is heard; a close does not wait for that.
            let bye = close(1000, b"");
            let (first, last) = match bytes.strip_suffix(bye.as_slice()) {
                Some(first) => (first, bye.as_slice()),
                None => (bytes.as_slice(), &[][..]),
            };
            for part in first.chunks(chops.min(first.len()).max(1)) {
                // A server that has seen enough may be gone already.
                if stream.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let before = if last.is_empty() { usize::MAX } else { expected.len() - 1 };
            let mut all = told(&mut stream, before).await;
            // Gone, if it was over already.
            let _ = stream.write_all(last).await;
            all.extend(told(&mut stream, usize::MAX).await);
            let all: Vec<String> = all.into_iter().map(shorten).collect();
            assert_eq!(all, expected, "{name}: {:02x?}", &bytes[..bytes.len().min(40)]);
        }
    }
}

#[tokio::test]
async fn every_close_code_is_judged_by_the_book() {
    let server = start(Config::default()).await;
    // RFC 6455 section 7.4 and the registry: what an endpoint may send.
    let good = (1000..=1003).chain(1007..=1013).chain(3000..=3002).chain([3999, 4000, 4999]);
    let bad = (0..=2).chain([999]).chain(1004..=1006).chain(1015..=1017);
    let bad = bad.chain([1100, 2000, 2999, 5000, 65_535]);
    for (code, is_good) in good.map(|code| (code, true)).chain(bad.map(|code| (code, false))) {
        let mut stream = shake_hands(&server).await;
        stream.write_all(&close(code, b"why")).await.unwrap();
        let answer = if is_good { code } else { 1002 };
        assert_eq!(told(&mut stream, usize::MAX).await, [format!("close {answer}")], "{code}");
    }
}
