//! State -> HTML. Against golden files without style, script and data; and by the promises of the
//! page: nothing is loaded, nothing hostile becomes markup, tags are closed, each chart has its
//! table, a page stays small. How it looks is left to the eye: `examples/demo_report.rs`.

mod golden;
mod runs;

use base64::Engine as _;
use ebbtide_record::State;
use ebbtide_record::event::{Body, Event, Interval};
use ebbtide_reports::html;
use sha2::{Digest as _, Sha256};

/// What a page may weigh without the data of its run, bytes.
const SHELL_MAX: usize = 200 * 1024;

fn page(events: &[Event]) -> String {
    html::render(&runs::state(events))
}

/// The texts between `open` and `close`.
fn between<'a>(page: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    page.split(open).skip(1).filter_map(|rest| rest.split(close).next()).collect()
}

/// The page without the parts between `open` and `close`.
fn without(page: &str, open: &str, close: &str) -> String {
    let mut parts = page.split(open);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(open);
        out.push('~');
        out.push_str(part.split_once(close).map_or("", |(_, rest)| rest));
    }
    out
}

#[test]
fn pages_are_built_as_they_were() {
    for (name, events) in [("leak.html", runs::leak()), ("load.html", runs::load_only())] {
        let page = page(&events);
        let page = without(&page, "<style>", "</style>");
        let page = without(&page, "<script>", "</script>");
        let page = without(&page, "<script type=\"application/json\" id=\"run\">", "</script>");
        let page = without(&page, "content=\"default-src", "\"");
        golden::matches(name, &without(&page, "<details class=\"data\">", "</details>"));
    }
}

#[test]
fn the_policy_lets_in_the_one_style_and_the_one_script_and_nothing_is_loaded() {
    let page = page(&runs::leak());
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"")[0];
    for (directive, open, close) in
        [("script-src", "<script>", "</script>"), ("style-src", "<style>", "</style>")]
    {
        let texts = between(&page, open, close);
        assert_eq!(texts.len(), 1, "{open}");
        let digest = Sha256::digest(texts[0].as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(digest);
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for loading in [" src=", " href=", "@import", "url(h", " style=", " onclick=", "<link", "<img"]
    {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[test]
fn nothing_hostile_becomes_markup() {
    let page = page(&runs::hostile());
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img"), "a tag came through");
    assert!(!page.contains('\u{1b}'), "an escape came through");
    let data = between(&page, "id=\"run\">", "</script>")[0];
    assert!(!data.contains('<'), "a tag may begin in the data");
    assert!(serde_json::from_str::<serde_json::Value>(data).is_ok(), "the data are not JSON");
    balanced(&page);
}

#[test]
fn tags_are_closed_in_order() {
    for events in [runs::leak(), runs::clean(), runs::killed(), runs::load_only(), Vec::new()] {
        balanced(&page(&events));
    }
}

/// Panics unless each tag is closed by its own end.
fn balanced(page: &str) {
    const VOID: [&str; 2] = ["meta", "!doctype"];
    let mut rest = page;
    let mut open: Vec<String> = Vec::new();
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        let name: String =
            tag.chars().take_while(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(
                open.pop().as_deref(),
                Some(name),
                "before {}",
                &after[..after.len().min(80)]
            );
        } else if !VOID.contains(&name.as_str()) && !tag.ends_with('/') {
            if name == "script" || name == "style" {
                rest = after.split_once(&format!("</{name}>")).expect("it ends").1;
            } else {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn each_chart_has_its_table_and_each_site_its_evidence() {
    let page = page(&runs::leak());
    let charts = between(&page, "<figure data-chart=\"", "</figure>");
    assert_eq!(charts.len(), 5);
    for chart in charts {
        assert!(chart.contains("<summary>Table: "), "{chart}");
        assert!(chart.matches("<tr>").count() >= 2, "{chart}");
    }
    assert_eq!(page.matches("data-site=").count(), page.matches("class=\"detail\"").count());
    assert_eq!(page.matches("data-site=").count(), 7);
    assert_eq!(page.matches("data-snapshot=").count(), 11);
}

#[test]
fn a_site_that_grows_has_cause_and_cure_and_a_steady_one_has_none() {
    let leaking = page(&runs::leak());
    for told in ["Likely cause: a listener that is never removed", "Rust: leaks, and mended"] {
        assert_eq!(leaking.matches(told).count(), 1, "{told}");
    }
    assert!(leaking.contains("Evidence, rung by rung"));
    assert!(!page(&runs::clean()).contains("Likely cause"));
}

#[test]
fn pages_are_small_and_stay_small() {
    let shell = html::render(&State::default());
    assert!(shell.len() < SHELL_MAX, "{}", shell.len());
    let events: Vec<_> = (0..20_000)
        .map(|second| Event {
            t_ms: second * 1_000,
            body: Body::Interval(Box::new(Interval {
                duration_ms: 1_000.0,
                requests: 1_000 + second % 7,
                iterations: second % 13,
                ..Interval::default()
            })),
            ..Event::default()
        })
        .collect();
    let tables = page(&events).matches("<tr>").count();
    assert!(tables < 200, "{tables} rows for a person to read");
}
