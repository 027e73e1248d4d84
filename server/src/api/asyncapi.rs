//! The AsyncAPI 3.0 document of events and messages, made of their tables.
//! In: the vocabulary. Out: JSON.
//! Leaves to others: where it is served (`page`), the tables (`vocabulary`).

use crate::vocabulary::{ASKED, Field, Holds, NOTIFICATIONS, PLAIN_ASKED, PLAIN_TOLD, TOLD, Word};
use ebbtide_socketio::packet::MAIN;
use serde_json::{Map, Value, json};

/// A place where words are exchanged: what the document calls it, its namespace, where it is.
struct Channel {
    key: &'static str,
    namespace: Option<&'static str>,
    address: &'static str,
    about: &'static str,
}

const CHANNELS: [Channel; 3] = [
    Channel {
        key: "chat",
        namespace: Some(MAIN),
        address: "/socket.io/",
        about: "Socket.IO v5, the main namespace: rooms and messages. The token, or a guest's \
            `username` and `identity`, is in the payload of the connect.",
    },
    Channel {
        key: "notifications",
        namespace: Some(NOTIFICATIONS),
        address: "/socket.io/",
        about: "Socket.IO v5, the namespace `/notifications`: what concerns one account alone.",
    },
    Channel {
        key: "ws",
        namespace: None,
        address: "/ws",
        about: "Plain WebSocket: JSON texts with a `type`. The token is in the query, or in the \
            `authorization` header of the handshake. Fields are only ever added.",
    },
];

/// The document.
pub(super) fn document() -> String {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for channel in &CHANNELS {
        let (asked, told): (&[Word], &[Word]) = match channel.namespace {
            Some(_) => (&ASKED, &TOLD),
            None => (&PLAIN_ASKED, &PLAIN_TOLD),
        };
        let mut own = Map::new();
        for (action, words) in [("receive", asked), ("send", told)] {
            for word in words.iter().filter(|word| word.namespace == channel.namespace) {
                let key = format!("{}_{action}_{}", channel.key, word.name.replace(':', "_"));
                let there = json!({ "$ref": format!("#/channels/{}/messages/{key}", channel.key) });
                let place = json!({ "$ref": format!("#/channels/{}", channel.key) });
                own.insert(key.clone(), json!({ "$ref": format!("#/components/messages/{key}") }));
                messages.insert(key.clone(), message(word));
                let mut operation = json!({
                    "action": action, "channel": place, "summary": word.about, "messages": [there],
                });
                if !word.answer.is_empty() {
                    let answer = format!("{key}_answer");
                    let refers = json!({ "$ref": format!("#/components/messages/{answer}") });
                    own.insert(answer.clone(), refers);
                    let told = format!("#/channels/{}/messages/{answer}", channel.key);
                    operation["reply"] =
                        json!({ "channel": place, "messages": [{ "$ref": told }] });
                    messages.insert(answer, answer_of(word));
                }
                operations.insert(key, operation);
            }
        }
        let described = json!({
            "address": channel.address, "description": channel.about, "messages": own,
        });
        channels.insert(channel.key.to_owned(), described);
    }
    let about = "Events of Socket.IO and messages of plain WebSocket. An event that cannot be done \
        is answered with `{\"error\": {\"code\", \"message\"}}`, or with the event `error` when no \
        answer was asked for.";
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ebbtide chat", "version": env!("CARGO_PKG_VERSION"), "description": about,
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas() },
    })
    .to_string()
}

fn message(word: &Word) -> Value {
    let mut payload = object(word.carries);
    if word.namespace.is_none() {
        payload["properties"]["type"] = json!({ "const": word.name });
        if let Some(required) = payload["required"].as_array_mut() {
            required.push("type".into());
        }
    }
    json!({ "name": word.name, "title": word.name, "summary": word.about, "payload": payload })
}

fn answer_of(word: &Word) -> Value {
    let title = format!("answer to {}", word.name);
    json!({ "name": word.name, "title": title, "payload": object(word.answer) })
}

fn object(fields: &[Field]) -> Value {
    let property = |(name, holds, _, about): &Field| {
        let mut schema = schema(*holds);
        schema["description"] = (*about).into();
        ((*name).to_owned(), schema)
    };
    let properties: Map<_, _> = fields.iter().map(property).collect();
    let required: Vec<_> =
        fields.iter().filter(|(_, _, always, _)| *always).map(|(name, ..)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn schema(holds: Holds) -> Value {
    let list = |name: &str| {
        let item = json!({ "$ref": format!("#/components/schemas/{name}") });
        json!({ "type": "array", "items": item })
    };
    match holds {
        Holds::Text => json!({ "type": "string" }),
        Holds::Number => json!({ "type": "integer" }),
        Holds::Flag => json!({ "type": "boolean" }),
        Holds::Any => json!({}),
        Holds::Person => json!({ "$ref": "#/components/schemas/Person" }),
        Holds::People => list("Person"),
        Holds::Events => list("Event"),
        Holds::Notifications => list("Notification"),
        Holds::Bytes => json!({ "type": "string", "contentEncoding": "binary" }),
    }
}

fn schemas() -> Value {
    let event = json!({
        "type": "object", "required": ["event", "seq", "data"],
        "properties": {
            "event": { "type": "string" },
            "seq": { "type": "integer" },
            "data": { "type": "object" },
        },
    });
    let person = json!({
        "type": "object", "required": ["name"],
        "properties": { "id": { "type": "integer" }, "name": { "type": ["string", "null"] } },
    });
    let notification = TOLD.iter().find(|word| word.name == "notification:new");
    let notification = notification.map_or(Value::Null, |word| {
        let all = word.carries.iter().filter(|(name, ..)| *name != "unread");
        object(&all.copied().collect::<Vec<_>>())
    });
    json!({ "Event": event, "Person": person, "Notification": notification })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference of the document leads somewhere.
    #[test]
    fn nothing_is_referred_to_that_is_not_there() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut waiting = vec![&document];
        let mut count = 0;
        while let Some(value) = waiting.pop() {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                let path = target.strip_prefix('#').unwrap();
                assert!(document.pointer(path).is_some(), "{target}");
                count += 1;
            }
            match value {
                Value::Object(fields) => waiting.extend(fields.values()),
                Value::Array(list) => waiting.extend(list),
                _ => {}
            }
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn each_word_stands_once() {
        for words in [&ASKED[..], &TOLD, &PLAIN_ASKED, &PLAIN_TOLD] {
            for (n, word) in words.iter().enumerate() {
                let is_same =
                    |other: &Word| (other.name, other.namespace) == (word.name, word.namespace);
                assert!(!words[n + 1..].iter().any(is_same), "{}", word.name);
                assert!(word.about.ends_with('.'), "{}", word.name);
            }
        }
    }
}
