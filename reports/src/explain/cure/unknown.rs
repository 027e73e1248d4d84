//! Growth whose cause no name tells: how to find who holds it, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! That nothing else is known is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "something made there is still reachable when its work is done; the stack tells who \
            made it, not who holds it",
    mend: "follow what is made there to the place that stores it, and take it out again where its \
           work ends",
    look: &[
        "the first own frames of the stack: what do they return, and who stores it?",
        "a field, global, static or closure that outlives the request",
        "a pair of calls (add and remove, open and close) of which an error skips the second",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
const made = [];
made.push(build(req)); // reachable for as long as the module is
"#,
            mended: r#"
const made = build(req); // reachable for as long as the function runs
use(made);
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
let node = Rc::new(Node::new(parent.clone())); // each holds the other
parent.children.borrow_mut().push(node);
"#,
            mended: r#"
let node = Rc::new(Node::new(Rc::downgrade(&parent))); // one is weak
parent.children.borrow_mut().push(node);
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
recent = append(recent, body[:16]) // keeps the whole body
"#,
            mended: r#"
recent = append(recent, bytes.Clone(body[:16]))
recent = recent[max(0, len(recent)-recentMax):]
"#,
        },
    ],
};
