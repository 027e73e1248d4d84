//! A cache or a list without a bound: what is wrong, what mends it, where to look, and examples.
//! In: nothing. Out: one entry for `cure`, text alone.
//! Whether this is the cause is left to `cause`.

use super::super::Language;
use super::{Entry, Example};

pub(super) const ENTRY: Entry = Entry {
    wrong: "entries go in by key or in order and never come out: a cache, a memo, a history, an \
            index, a set of what was seen. With enough keys it holds all memory",
    mend: "give it a bound in entries or bytes and let the oldest go, or a time to live; if it is \
           bounded already, say so in the scenario and have the bound checked",
    look: &[
        "a map or list at module or process level that a handler writes to",
        "keys that never repeat: a URL with its query, a user, a request id, a time",
        "memoized functions; metrics with a label per user or per path",
    ],
    examples: [
        Example {
            language: Language::JavaScript,
            leaks: r#"
const views = new Map();
views.set(user.id, view);
"#,
            mended: r#"
const VIEWS_MAX = 10_000;
const views = new Map(); // keeps the order of insertion
views.set(user.id, view);
if (views.size > VIEWS_MAX) views.delete(views.keys().next().value);
"#,
        },
        Example {
            language: Language::Rust,
            leaks: r#"
let mut views: HashMap<UserId, View> = HashMap::new();
views.insert(user.id, view);
"#,
            mended: r#"
let views = moka::sync::Cache::builder()
    .max_capacity(10_000)
    .time_to_live(Duration::from_secs(600))
    .build();
views.insert(user.id, view);
"#,
        },
        Example {
            language: Language::Go,
            leaks: r#"
views := map[UserID]View{}
views[user.ID] = view
"#,
            mended: r#"
// github.com/hashicorp/golang-lru/v2
views, err := lru.New[UserID, View](10_000)
if err != nil {
	return err
}
views.Add(user.ID, view)
"#,
        },
    ],
};
