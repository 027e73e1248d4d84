//! A connection that is kept after it has ended:
//! what is wrong, what mends it, where to look, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! Whether this is the cause is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "a list of connections or sessions (for broadcasts, for presence, for a count) gets an \
            entry when one opens, and not every end takes it out again",
    mend: "bind the entry to the connection itself, so that whatever ends one ends the other; \
           give idle ones a time limit",
    look: &[
        "a set or map of sockets with an `add` in one place and a `delete` on some ways out only",
        "sessions without a time to live",
        "a socket that is dropped from the list and never closed, or closed and never dropped",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
server.on("connection", (socket) => sockets.add(socket));
"#,
            mended: r#"
server.on("connection", (socket) => {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket)); // also after an error
});
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
sessions.insert(id, session.clone());
serve(session).await?; // an error leaves the entry, and so does an abort
sessions.remove(&id);
"#,
            mended: r#"
struct Entry<'a>(&'a Sessions, Id);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.remove(&self.1);
    }
}

sessions.insert(id, session.clone());
let _entry = Entry(&sessions, id); // removed however this scope ends
serve(session).await?;
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
hub.add(conn)
serve(conn) // a panic or an early return leaves the entry
hub.remove(conn)
"#,
            mended: r#"
hub.add(conn)
defer hub.remove(conn)
defer conn.Close()
serve(conn)
"#,
        },
    ],
};
