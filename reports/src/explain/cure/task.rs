//! A task that never ends: what is wrong, what mends it, where to look, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! Whether this is the cause is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "a task, thread, goroutine or promise waits for something that never comes: a message \
            from who has gone, an answer without a time limit, room in a full channel. It holds \
            its stack and all that it captured",
    mend: "give every wait a way out: a time limit, or a signal that the one it works for has \
           ended",
    look: &[
        "a task started per request or per connection that nobody joins or aborts",
        "a send or receive on a channel whose other end may be gone",
        "a map of pending answers that a timeout does not clear",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
// The answer may never come.
await new Promise((resolve) => pending.set(id, resolve));
"#,
            mended: r#"
import { once } from "node:events";

// Removes its listeners when the time is up, too.
await once(answers, id, { signal: AbortSignal.timeout(5_000) });
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
tokio::spawn(async move {
    // Never ends: its sender is kept elsewhere.
    while let Some(update) = updates.recv().await {
        send(&update).await;
    }
});
"#,
            mended: r#"
// Aborts its tasks when it is dropped, with the connection that owns it.
let mut tasks = JoinSet::new();
tasks.spawn(async move {
    while let Some(update) = updates.recv().await {
        send(&update).await;
    }
});
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
results := make(chan Result)
go func() { results <- query() }() // waits for ever without a reader
"#,
            mended: r#"
results := make(chan Result, 1) // room for the one result, read or not
go func() { results <- query() }()
select {
case result := <-results:
	return result, nil
case <-r.Context().Done():
	return Result{}, r.Context().Err()
}
"#,
        },
    ],
};
