//! A listener that is never removed: what is wrong, what mends it, where to look, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! Whether this is the cause is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "whoever publishes holds the listener, and the listener holds all that it uses. The \
            publisher lives as long as the process, so the listener does too",
    mend: "remove it where that ends which it listens for, on every way out: reply, error, \
           timeout, lost connection",
    look: &[
        "a subscription whose end is handled on one way out and not on the others",
        "a listener removed by another function than the one added (a new closure each time)",
        "a shared bus, hub or process-wide emitter that a handler subscribes to",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
bus.on("message", (text) => socket.send(text));
"#,
            mended: r#"
const forward = (text) => socket.send(text);
bus.on("message", forward);
socket.once("close", () => bus.off("message", forward));
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
let id = hub.subscribe(sender);
serve(socket).await?; // an early return leaves the subscription
hub.unsubscribe(id);
"#,
            mended: r#"
struct Subscription<'a>(&'a Hub, Id);

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        self.0.unsubscribe(self.1);
    }
}

// Removed on every way out.
let _kept = Subscription(&hub, hub.subscribe(sender));
serve(socket).await?;
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
updates := hub.Subscribe()
for update := range updates { // goes on when the client has gone
	send(conn, update)
}
"#,
            mended: r#"
updates := hub.Subscribe()
defer hub.Unsubscribe(updates)
for {
	select {
	case update := <-updates:
		send(conn, update)
	case <-r.Context().Done():
		return
	}
}
"#,
        },
    ],
};
