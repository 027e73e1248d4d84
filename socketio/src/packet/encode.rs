//! A packet as the messages that carry it, made once and sent any number of times.
//!
//! Comes in: a packet. Goes out: [`Encoded`]: frames with the `4` of Engine.IO already before the
//! text, so that a WebSocket takes them as they are. A clone copies no bytes.

use super::{Args, Content, MAIN, Packet};
use crate::frame::Frame;
use crate::text::Text;
use bytes::Bytes;
use std::fmt::Write as _;
use std::sync::Arc;

/// A packet ready to be sent, to one or to ten thousand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    head: Text,
    attachments: Option<Arc<[Bytes]>>,
    size: usize,
}

impl Encoded {
    /// An event. Namespace and arguments are taken as they are: they have been checked where they
    /// came in, see [`super::check_namespace`] and [`Args::check`].
    #[must_use]
    pub fn event(namespace: &str, name: &str, args: &Args, ack: Option<u64>) -> Self {
        let mut head = head(('2', '5'), namespace, args, ack);
        push_string(&mut head, name);
        if !args.is_empty() {
            head.push(',');
        }
        Self::finish(head, args)
    }

    /// The answer to an event.
    #[must_use]
    pub fn ack(namespace: &str, id: u64, args: &Args) -> Self {
        Self::finish(head(('3', '6'), namespace, args, Some(id)), args)
    }

    /// Any packet.
    #[must_use]
    pub fn packet(packet: &Packet) -> Self {
        let namespace = packet.namespace.as_str();
        match &packet.content {
            Content::Connect(payload) => {
                Self::bare('0', namespace, payload.as_deref().unwrap_or_default())
            }
            Content::Disconnect => Self::bare('1', namespace, ""),
            Content::Event { name, args, ack } => Self::event(namespace, name, args, *ack),
            Content::Ack { id, args } => Self::ack(namespace, *id, args),
            Content::ConnectError(payload) => Self::bare('4', namespace, payload),
        }
    }

    fn bare(kind: char, namespace: &str, payload: &str) -> Self {
        let mut text = String::with_capacity(namespace.len() + payload.len() + 3);
        text.extend(['4', kind]);
        push_namespace(&mut text, namespace);
        text.push_str(payload);
        Self { size: text.len(), head: text.into(), attachments: None }
    }

    fn finish(mut head: String, args: &Args) -> Self {
        head.push_str(args.items());
        head.push(']');
        let attachments = args.attachments();
        let size = head.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let attachments = (!attachments.is_empty()).then(|| Arc::from(attachments));
        Self { head: head.into(), attachments, size }
    }

    /// The messages of a WebSocket, in their order.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        let attachments = self.attachments.iter().flat_map(|list| list.iter());
        std::iter::once(Frame::Text(self.head.clone()))
            .chain(attachments.map(|bytes| Frame::Binary(bytes.clone())))
    }

    /// Bytes of all frames together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }
}

/// Everything up to the first element of the array.
fn head(kinds: (char, char), namespace: &str, args: &Args, id: Option<u64>) -> String {
    /// Type, number of attachments, id, brackets and quotes.
    const AROUND: usize = 48;
    let mut text = String::with_capacity(namespace.len() + args.items().len() + AROUND);
    text.push('4');
    match args.attachments().len() {
        0 => text.push(kinds.0),
        count => {
            text.push(kinds.1);
            write!(text, "{count}-").expect("a string takes everything");
        }
    }
    push_namespace(&mut text, namespace);
    if let Some(id) = id {
        write!(text, "{id}").expect("a string takes everything");
    }
    text.push('[');
    text
}

fn push_namespace(text: &mut String, namespace: &str) {
    if namespace != MAIN {
        text.push_str(namespace);
        text.push(',');
    }
}

/// A JSON string.
fn push_string(text: &mut String, plain: &str) {
    if plain.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(plain);
        text.push('"');
    } else {
        text.push_str(&serde_json::to_string(plain).expect("a string is JSON"));
    }
}
