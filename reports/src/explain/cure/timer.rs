//! A timer that is never cleared: what is wrong, what mends it, where to look, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! Whether this is the cause is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "a timer is held by the clock until it is cleared, and it holds all that its function \
            uses. One that repeats never goes by itself",
    mend: "keep its handle, and stop it where that ends which it was started for",
    look: &[
        "an interval or ticker made in a handler, per request or per connection",
        "a timeout as guard that is not cleared once the answer has come",
        "a heartbeat that goes on after its connection has ended",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
setInterval(() => ping(session), 30_000);
"#,
            mended: r#"
const timer = setInterval(() => ping(session), 30_000);
session.once("close", () => clearInterval(timer));
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
tokio::spawn(async move {
    let mut every = tokio::time::interval(PING_EVERY);
    loop {
        every.tick().await;
        session.ping().await;
    }
});
"#,
            mended: r#"
let closed = session.closed(); // a CancellationToken
tokio::spawn(async move {
    let mut every = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => session.ping().await,
            () = closed.cancelled() => return,
        }
    }
});
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
ticker := time.NewTicker(pingEvery)
go func() {
	for range ticker.C {
		session.Ping()
	}
}()
"#,
            mended: r#"
go func() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			session.Ping()
		case <-session.Done():
			return
		}
	}
}()
"#,
        },
    ],
};
