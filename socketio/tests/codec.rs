//! The codec as a user of the crate meets it: packets of the protocol's document both ways, what
//! must be refused and with which words, and properties over random packets and random bytes.
//! What packets mean is left to the tests of the two ends.

use bytes::Bytes;
use ebbtide_socketio::engine::{Payload, join};
use ebbtide_socketio::packet::{
    Arg, Args, Content, Decoder, Encoded, Packet, PacketError, PacketLimits,
};
use ebbtide_socketio::{Frame, Text};
use proptest::prelude::*;

fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

fn decode(frames: &[Frame]) -> Result<Option<Packet>, PacketError> {
    let mut decoder = Decoder::new(PacketLimits::default());
    let mut packet = None;
    for frame in frames {
        assert_eq!(packet, None, "a packet before its last frame");
        packet = decoder.take(frame.clone())?;
    }
    Ok(packet)
}

fn packet(namespace: &str, content: Content) -> Packet {
    Packet { namespace: namespace.into(), content }
}

fn event(name: &str, args: &str, ack: Option<u64>) -> Content {
    Content::Event { name: name.into(), args: Args::parse(args).expect("a JSON array"), ack }
}

/// Frames as they go out, without the `4` of Engine.IO before the text.
fn frames(packet: &Packet) -> Vec<Frame> {
    Encoded::packet(packet)
        .frames()
        .map(|frame| match frame {
            Frame::Text(head) => text(head.strip_prefix('4').expect("a message")),
            binary => binary,
        })
        .collect()
}

#[test]
fn packets_are_read_and_written() {
    for (wire, expected) in [
        ("0", packet("/", Content::Connect(None))),
        ("0/admin,", packet("/admin", Content::Connect(None))),
        (
            r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}"#,
            packet("/admin", Content::Connect(Some(r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#.into()))),
        ),
        (
            r#"4{"message":"Not authorized"}"#,
            packet("/", Content::ConnectError(r#"{"message":"Not authorized"}"#.into())),
        ),
        (r#"4"no""#, packet("/", Content::ConnectError("\"no\"".into()))),
        ("1", packet("/", Content::Disconnect)),
        ("1/admin,", packet("/admin", Content::Disconnect)),
        (r#"2["foo"]"#, packet("/", event("foo", "[]", None))),
        (r#"2["baz",1,"]",[[]]]"#, packet("/", event("baz", r#"[1,"]",[[]]]"#, None))),
        (
            r#"2/admin,12["bar",{"a":[]}]"#,
            packet("/admin", event("bar", r#"[{"a":[]}]"#, Some(12))),
        ),
        (r#"2["a\"\\\n€"]"#, packet("/", event("a\"\\\n€", "[]", None))),
        ("3/admin,13[]", packet("/admin", Content::Ack { id: 13, args: Args::none() })),
        (
            r#"3456[1,"2",{"3":[false]}]"#,
            packet(
                "/",
                Content::Ack { id: 456, args: Args::parse(r#"[1,"2",{"3":[false]}]"#).unwrap() },
            ),
        ),
    ] {
        assert_eq!(decode(&[text(wire)]), Ok(Some(expected.clone())), "{wire}");
        assert_eq!(frames(&expected), [text(wire)]);
    }
}

#[test]
fn a_packet_waits_for_its_attachments() {
    let bytes = |byte: u8| Bytes::from(vec![byte; 3]);
    let head = r#"52-/chat,7["up",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let wire = [text(head), Frame::Binary(bytes(1)), Frame::Binary(bytes(2))];
    let found = decode(&wire).unwrap().unwrap();
    assert_eq!(frames(&found), wire);
    let Content::Event { args, ack: Some(7), .. } = &found.content else { panic!("{found:?}") };
    let [Arg::Binary(first), Arg::Binary(second)] = args.list()[..] else { panic!("{args:?}") };
    assert_eq!((first, second), (&bytes(1), &bytes(2)));
    // None announced is whole at once, as in npm's parser.
    assert!(decode(&[text(r#"50-["a"]"#)]).unwrap().is_some());
}

#[test]
fn whitespace_is_taken_as_json_has_it() {
    let found = decode(&[text(" 2")]).unwrap_err();
    assert!(matches!(found, PacketError::UnknownType(_)));
    let Ok(Some(Packet { content: Content::Event { name, args, .. }, .. })) =
        decode(&[text("2[ \"a\" , 1 ,\t2 ]")])
    else {
        panic!()
    };
    assert_eq!((name.as_str(), args.items().as_str()), ("a", "1 ,\t2"));
}

/// What the suites, npm's parser and an ill will send.
#[test]
fn what_is_no_packet_is_refused_with_the_reason() {
    let many = format!("510000-[\"a\",{}]", vec!["0"; 10_000].join(","));
    let deep = format!("2[\"a\",{}{}]", "[".repeat(200), "]".repeat(200));
    let long = format!("2/{},[\"a\"]", "n".repeat(600));
    for (wire, expected) in [
        ("", "unknown packet type ``"),
        ("abc", "unknown packet type `a`"),
        ("7[]", "unknown packet type `7`"),
        ("2", "payload: EOF"),
        ("2{}", "an event and an ack carry an array"),
        ("2[]", "an event without a name"),
        ("2[{}]", "an event's name is a string or a number"),
        ("2[null]", "an event's name is a string or a number"),
        (r#"2abc["a"]"#, "payload: expected value"),
        (r#"2["a"]x"#, "payload: trailing characters"),
        (r#"2["a",]"#, "payload: trailing comma"),
        (r#"2["disconnect"]"#, "event `disconnect`: the name is reserved"),
        (r#"299999999999999999999["a"]"#, "larger than 2^53 - 1"),
        (r#"29007199254740992["a"]"#, "larger than 2^53 - 1"),
        ("3[]", "id of an ack: missing"),
        ("31{}", "an event and an ack carry an array"),
        ("0[]", "a connect carries an object"),
        ("01{}", "only an event and an ack have one"),
        ("1{}", "a disconnect carries none"),
        ("4", "payload: EOF"),
        ("41", "payload: EOF"),
        ("4[]", "a connect error carries an object or a string"),
        (r#"5["a"]"#, "number of attachments is no number"),
        (r#"5-["a"]"#, "number of attachments is no number"),
        (r#"5+1-["a"]"#, "number of attachments is no number"),
        (r#"511-["a"]"#, "11 attachments exceed the limit of 10"),
        (r#"599999999999999999999999-["a"]"#, "number of attachments is no number"),
        (r#"51-["a",{"_placeholder":true,"num":1}]"#, "placeholder 1 with 1 attachments"),
        (r#"61-1[{"_placeholder":true,"num":-1}]"#, "placeholder 18446744073709551615 with"),
        (&many, "10000 attachments exceed"),
        (&deep, "recursion limit"),
        (&long, "namespace `/nnn"),
    ] {
        let error = decode(&[text(wire)]).expect_err(wire).to_string();
        assert!(error.contains(expected), "{wire}: {error}");
    }
}

#[test]
fn frames_out_of_turn_and_too_many_bytes_are_refused() {
    let head = text(r#"51-["a",{"_placeholder":true,"num":0}]"#);
    let binary = |size: usize| Frame::Binary(vec![0; size].into());
    assert_eq!(decode(&[binary(1)]), Err(PacketError::Unannounced));
    assert_eq!(decode(&[head.clone(), text("1")]), Err(PacketError::TextForAttachment(1)));
    let large = decode(&[head.clone(), binary(999_999)]);
    assert!(matches!(large, Err(PacketError::TooLarge { .. })), "{large:?}");
    // The limit is that of one packet, not of all.
    let mut decoder = Decoder::new(PacketLimits { attachments: 1, bytes: 100 });
    for _ in 0..10 {
        assert_eq!(decoder.take(head.clone()), Ok(None));
        assert!(decoder.take(binary(50)).unwrap().is_some());
    }
}

#[test]
fn reading_copies_nothing() {
    let wire = text(r#"2/chat,["name",{"text":"hello"}]"#);
    let Frame::Text(whole) = &wire else { unreachable!() };
    let range = whole.as_bytes().as_ptr_range();
    let Ok(Some(Packet { namespace, content: Content::Event { name, args, .. } })) =
        decode(std::slice::from_ref(&wire))
    else {
        panic!()
    };
    for part in [&namespace, &name, args.items()] {
        assert!(range.contains(&part.as_bytes().as_ptr()), "{part}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_args() -> impl Strategy<Value = Args> {
    let arg = prop_oneof![
        any_json().prop_map(|json| (Some(json.to_string()), Bytes::new())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| (None, bytes.into())),
    ];
    proptest::collection::vec(arg, 0..6).prop_map(|list| {
        let list: Vec<Arg<'_>> = list
            .iter()
            .map(|(json, bytes)| json.as_deref().map_or(Arg::Binary(bytes), Arg::Json))
            .collect();
        Args::of(&list)
    })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let namespace = prop_oneof![Just("/".to_owned()), "/[^,\\x00-\\x1f\\x7f]{0,20}"];
    let name = ".{0,20}".prop_filter("reserved", |name| {
        !ebbtide_socketio::packet::RESERVED.contains(&name.as_str())
    });
    let id = proptest::option::of(0..=ebbtide_socketio::packet::LARGEST_ID);
    (namespace, name, any_args(), id, 0..3).prop_map(|(namespace, name, args, id, kind)| {
        let content = match kind {
            0 => Content::Ack { id: id.unwrap_or_default(), args },
            _ => Content::Event { name: name.into(), args, ack: id },
        };
        Packet { namespace: namespace.into(), content }
    })
}

/// Characters that packets are made of.
const SIMILAR: &str = "[0-9a-z/,\\-\\[\\]\"{}]{0,24}";

proptest! {
    /// Over a WebSocket and over a body of HTTP.
    #[test]
    fn what_is_written_is_read(sent in any_packet()) {
        prop_assert_eq!(decode(&frames(&sent)), Ok(Some(sent.clone())));
        let encoded: Vec<Frame> = Encoded::packet(&sent).frames().collect();
        let mut decoder = Decoder::new(PacketLimits::default());
        let mut found = None;
        for packet in Payload::read(join(&encoded), usize::MAX).unwrap() {
            let ebbtide_socketio::engine::Packet::Message(frame) = packet.unwrap() else {
                panic!("not a message")
            };
            found = decoder.take(frame).unwrap();
        }
        prop_assert_eq!(found, Some(sent));
    }

    /// However frames are grouped into bodies, the packets are the same.
    #[test]
    fn bodies_may_be_cut_between_any_packets(
        sent in proptest::collection::vec(any_packet(), 1..6),
        cuts in proptest::collection::vec(1..4_usize, 20),
    ) {
        let frames: Vec<Frame> = sent
            .iter()
            .flat_map(|packet| Encoded::packet(packet).frames().collect::<Vec<_>>())
            .collect();
        let (mut rest, mut found) = (&frames[..], Vec::new());
        let mut decoder = Decoder::new(PacketLimits::default());
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (body, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            for packet in Payload::read(join(body), usize::MAX).unwrap() {
                let ebbtide_socketio::engine::Packet::Message(frame) = packet.unwrap() else {
                    panic!("not a message")
                };
                found.extend(decoder.take(frame).unwrap());
            }
        }
        prop_assert_eq!(found, sent);
    }

    #[test]
    fn random_text_never_panics(texts in proptest::collection::vec(SIMILAR, 1..6)) {
        let mut decoder = Decoder::new(PacketLimits::default());
        for text in texts {
            if decoder.take(Frame::Text(text.into())).is_err() {
                break;
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        if let Ok(text) = Text::from_utf8(body.clone()) {
            let _ = decode(&[Frame::Text(text)]);
        }
        if let Ok(packets) = Payload::read(body, 1000) {
            for packet in packets {
                let _ = packet.map(|packet| packet.encode());
            }
        }
    }
}
