//! The text of a packet: type, attachments, namespace, id, payload.
//!
//! Comes in: the text of a message. Goes out: a packet and the number of attachments that follow
//! it. `<type>[<attachments>-][<namespace>,][<id>][<JSON>]`.

use super::json::{self, Kind, Shape};
use super::{
    Args, Content, LARGEST_ID, MAIN, Packet, PacketError, check_credentials, check_event,
    check_namespace,
};
use crate::text::Text;

/// A packet whose attachments are still to come.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) packet: Packet,
    pub(super) attachments: usize,
}

/// Reads the text of a packet.
pub(super) fn decode(text: &Text, limit: usize) -> Result<Announced, PacketError> {
    let whole = text.as_str();
    let unknown = || PacketError::UnknownType(whole.chars().take(1).collect());
    let kind = *whole
        .as_bytes()
        .first()
        .filter(|kind| (b'0'..=b'6').contains(kind))
        .ok_or_else(unknown)?;
    let is_binary = kind == b'5' || kind == b'6';
    let (attachments, rest) =
        if is_binary { read_attachments(&whole[1..], limit)? } else { (0, &whole[1..]) };
    let (namespace, rest) = read_namespace(text, rest)?;
    let (id, payload) = read_id(rest)?;
    let content = match kind {
        b'0' => Content::Connect(read_credentials(text, payload)?),
        b'1' if payload.is_empty() => Content::Disconnect,
        b'1' => return Err(refused("a disconnect carries none")),
        b'2' | b'5' => read_event(text, payload, (id, attachments))?,
        b'3' | b'6' => {
            let id = id.ok_or(PacketError::Id("missing"))?;
            Content::Ack { id, args: read_ack(text, payload, attachments)? }
        }
        _ => Content::ConnectError(read_refusal(text, payload)?),
    };
    if id.is_some() && matches!(kind, b'0' | b'1' | b'4') {
        return Err(PacketError::Id("only an event and an ack have one"));
    }
    Ok(Announced { packet: Packet { namespace, content }, attachments })
}

fn refused(why: &str) -> PacketError {
    PacketError::Payload(why.to_owned())
}

fn read_attachments(text: &str, limit: usize) -> Result<(usize, &str), PacketError> {
    let (digits, rest) = text.split_once('-').ok_or(PacketError::Attachments)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(PacketError::Attachments);
    }
    let count: u64 = digits.parse().map_err(|_| PacketError::Attachments)?;
    match usize::try_from(count) {
        Ok(fitting) if fitting <= limit => Ok((fitting, rest)),
        _ => Err(PacketError::TooManyAttachments { count, limit }),
    }
}

fn read_namespace<'a>(text: &Text, rest: &'a str) -> Result<(Text, &'a str), PacketError> {
    if !rest.starts_with('/') {
        return Ok((Text::fixed(MAIN), rest));
    }
    let (name, rest) = rest.split_once(',').unwrap_or((rest, ""));
    check_namespace(name)?;
    let name = if name == MAIN { Text::fixed(MAIN) } else { text.part(name) };
    Ok((name, rest))
}

fn read_id(rest: &str) -> Result<(Option<u64>, &str), PacketError> {
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 {
        return Ok((None, rest));
    }
    let (digits, rest) = rest.split_at(len);
    let id = digits.parse().ok().filter(|id| *id <= LARGEST_ID);
    Ok((Some(id.ok_or(PacketError::Id("larger than 2^53 - 1"))?), rest))
}

fn read_shape(payload: &str, is_named: bool) -> Result<Shape<'_>, PacketError> {
    json::inspect(payload, is_named).map_err(|error| PacketError::Payload(error.to_string()))
}

fn read_credentials(text: &Text, payload: &str) -> Result<Option<Text>, PacketError> {
    if payload.is_empty() {
        return Ok(None);
    }
    check_credentials(payload)?;
    Ok(Some(text.part(payload)))
}

fn read_refusal(text: &Text, payload: &str) -> Result<Text, PacketError> {
    match read_shape(payload, false)?.kind {
        Kind::Object | Kind::String => Ok(text.part(payload)),
        _ => Err(refused("a connect error carries an object or a string")),
    }
}

fn read_event(
    text: &Text,
    payload: &str,
    (ack, attachments): (Option<u64>, usize),
) -> Result<Content, PacketError> {
    let shape = read_array(payload, true, attachments)?;
    let first = shape.first.ok_or_else(|| refused("an event without a name"))?;
    let name = read_name(text, first)?;
    check_event(&name)?;
    // The name is a part of the payload: what follows it and its comma are the arguments.
    let start = first.as_ptr() as usize - payload.as_ptr() as usize + first.len();
    let args = Args::trusted(text.part(items_after(&payload[start..])));
    Ok(Content::Event { name, args, ack })
}

/// What stands between a first element and the closing bracket, in JSON known to be well-formed.
fn items_after(rest: &str) -> &str {
    let rest = rest.trim();
    let rest = rest.strip_suffix(']').unwrap_or(rest).trim_end();
    rest.strip_prefix(',').map_or(rest, str::trim_start)
}

fn read_ack(text: &Text, payload: &str, attachments: usize) -> Result<Args, PacketError> {
    read_array(payload, false, attachments)?;
    let array = payload.trim();
    Ok(Args::trusted(text.part(array[1..array.len() - 1].trim())))
}

fn read_array(payload: &str, is_named: bool, attachments: usize) -> Result<Shape<'_>, PacketError> {
    let shape = read_shape(payload, is_named)?;
    if shape.kind != Kind::Array {
        return Err(refused("an event and an ack carry an array"));
    }
    if attachments > 0 {
        check_placeholders(shape.largest_placeholder, attachments)?;
    }
    Ok(shape)
}

fn check_placeholders(largest: Option<u64>, count: usize) -> Result<(), PacketError> {
    match largest {
        Some(num) if num >= count as u64 => Err(PacketError::Placeholder { num, count }),
        _ => Ok(()),
    }
}

/// An event's name: a string, or a number by its digits.
fn read_name(text: &Text, first: &str) -> Result<Text, PacketError> {
    match first.as_bytes() {
        [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => {
            Ok(text.part(&first[1..first.len() - 1]))
        }
        [b'"', ..] => serde_json::from_str::<String>(first)
            .map(Text::from)
            .map_err(|error| PacketError::Payload(error.to_string())),
        [b'-' | b'0'..=b'9', ..] => Ok(text.part(first)),
        _ => Err(refused("an event's name is a string or a number")),
    }
}
