//! A request that is kept after its reply:
//! what is wrong, what mends it, where to look, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! Whether this is the cause is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "a closure, task or list that lives longer than the request holds it, and with it \
            headers, body and often the connection, for the sake of one field",
    mend: "take the few bytes that are needed, and let the rest go with the reply; empty the list \
           that they wait in",
    look: &[
        "a closure that uses `req` or `ctx` and is stored: callback, retry, log line, metric",
        "requests in a list or map `in progress` that an error or a timeout does not take out",
        "a slice or view of a large body, which keeps the whole body",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
audits.push(() => write(req.headers["x-id"])); // holds all of req
"#,
            mended: r#"
const id = req.headers["x-id"]; // a string, and nothing else
res.once("close", () => write(id)); // goes with the reply
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
// Owns all of request.
audits.push(Box::new(move || write(request.header("x-id"))));
"#,
            mended: r#"
let id = request.header("x-id").to_owned(); // not a slice of the body
drop(request);
audits.send(id).await?; // a bounded channel with a reader
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
// Holds all of r.
audits = append(audits, func() { write(r.Header.Get("X-Id")) })
"#,
            mended: r#"
id := strings.Clone(r.Header.Get("X-Id")) // not a slice of a buffer
audits <- id                              // bounded, with a reader
"#,
        },
    ],
};
