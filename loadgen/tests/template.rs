//! Templates: what variables render, that a replay renders the same, and what is wrong with bad
//! ones.
//!
//! In: tables of texts. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::template::{Escape, Scope, Template};
use proptest::prelude::*;

/// Renders a template for a user and an iteration of a round.
fn render(text: &str, round: u32, (vu, iteration): (u64, u64)) -> String {
    let environment = |name: &str| (name == "HOME_TOWN").then(|| "Zürich".to_owned());
    let captures = ["token".to_owned(), "empty".to_owned()];
    let mut template = Template::compile(text, Escape::None).unwrap();
    template.bind(&captures, &environment).unwrap();
    let mut scope = Scope::new(round, captures.len());
    scope.captures[0] = "a b/ü".to_owned();
    scope.stride = 10;
    scope.begin(7, 0, vu, iteration);
    let mut out = Vec::new();
    template.render(&mut out, &mut scope);
    String::from_utf8(out).unwrap()
}

#[test]
fn variables_render_what_they_say() {
    let table = [
        ("${vu}.${iteration}.${round}", "3.2.1"),
        ("${sequence}", "23"),
        ("${env.HOME_TOWN}", "Zürich"),
        ("${env.HOME_TOWN:Bern}", "Zürich"),
        ("${env.NOWHERE:Bern}", "Bern"),
        ("${env.NOWHERE:}", ""),
        ("${env.NOWHERE:http://a:1}", "http://a:1"),
        ("${now_iso}", "2026-01-01T01:00:02.003Z"),
        ("${now}", "1767229202003"),
        ("${counter(a)}${counter(a)}${counter(b)}${counter(a)}", "0102"),
        ("${counter(a,5)}${counter(a,5)}", "56"),
        ("${base64(token)}", "YSBiL8O8"),
        ("${url(token)}", "a%20b%2F%C3%BC"),
        ("${base64(url(token))}", "YSUyMGIlMkYlQzMlQkM="),
        ("${base64(env.HOME_TOWN)}", "WsO8cmljaA=="),
        ("${base64(empty)}|${empty}|", "||"),
        ("${ token }", "a b/ü"),
    ];
    for (text, expected) in table {
        assert_eq!(render(text, 1, (3, 2)), expected, "{text}");
    }
}

#[test]
fn what_is_random_looks_like_it_and_is_of_its_length() {
    let all = |text: &str| -> Vec<String> { (0..200).map(|i| render(text, 0, (0, i))).collect() };
    for text in all("${random_string(12)}") {
        assert!(text.len() == 12 && text.chars().all(|c| c.is_ascii_alphanumeric()), "{text}");
    }
    for text in all("${random_hex(7)}") {
        assert!(text.len() == 7 && text.chars().all(|c| c.is_ascii_hexdigit()), "{text}");
    }
    let picked = all("${pick(red | green|blue)}");
    for word in ["red", "green", "blue"] {
        let count = picked.iter().filter(|it| *it == word).count();
        assert!((40..=95).contains(&count), "{word}: {count} of 200");
    }
    assert!(picked.iter().all(|word| ["red", "green", "blue"].contains(&word.as_str())));
    assert_eq!(render("${random(0,18446744073709551615)}", 0, (0, 0)).parse::<u64>().err(), None);
}

#[test]
fn a_template_is_shown_as_it_was_written() {
    for text in [
        "${vu}${iteration}${sequence}${round}${uuid}${now}${now_iso}${stamp}",
        "${random(1,6)}${random_string(3)}${random_hex(4)}${pick(a|b)}",
        "${counter(x)}${counter(x,4)}${env.A}${env.A:b}${token}",
        "${base64(token)}${url(base64(env.A:b))}${base64(random(1,2))}",
    ] {
        assert_eq!(Template::compile(text, Escape::None).unwrap().written(), text);
    }
}

#[test]
fn bad_templates_say_what_is_wrong() {
    let length = "with a length from 1 to 65536";
    let table = [
        ("${}", "`${}` names nothing (name a variable or a capture)".to_owned()),
        ("a${vu", "`${vu` is not closed (add `}`)".to_owned()),
        (
            "${random(a,2)}",
            "`${random(a,2)}` is not `random(low,high)` with two whole numbers, low first".into(),
        ),
        (
            "${random_string(0)}",
            format!("`${{random_string(0)}}` is not `random_string(n)` {length}"),
        ),
        ("${random_hex(n)}", format!("`${{random_hex(n)}}` is not `random_hex(n)` {length}")),
        ("${pick(a)}", "`${pick(a)}` is not `pick(a|b|c)` with two words or more".to_owned()),
        (
            "${counter(a,b)}",
            "`${counter(a,b)}` is not `counter(name)` or `counter(name,start)`".to_owned(),
        ),
        (
            "${base64()}",
            "`${base64()}` is not `base64(variable)` with the name of a variable".to_owned(),
        ),
        (
            "${url(base64(}",
            "`${url(base64(}` is not `url(variable)` with the name of a variable".to_owned(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(Template::compile(text, Escape::None).unwrap_err(), expected, "{text}");
    }
    let environment = |_: &str| None;
    let table = [
        ("${tokn}", "unknown variable `tokn` (did you mean `token`?)"),
        ("${base64(tokn)}", "unknown variable `tokn` (did you mean `token`?)"),
        ("${now_is}", "unknown variable `now_is` (did you mean `now_iso`?)"),
        (
            "${rndom_string(3)}",
            "unknown variable `rndom_string(3)` (did you mean `random_string(n)`?)",
        ),
        (
            "${env.A}",
            "`${env.A}` is not set (export `A`, say `-e A=...`, or write `${env.A:default}`)",
        ),
    ];
    for (text, expected) in table {
        let mut template = Template::compile(text, Escape::None).unwrap();
        let found = template.bind(&["token".to_owned()], &environment).unwrap_err();
        assert_eq!(found, expected, "{text}");
    }
}

proptest! {
    /// What a replay is for: the same seed, round, user and iteration give the same bytes; any
    /// other of them gives others.
    #[test]
    fn a_replay_renders_the_same_bytes(round in 0_u32..9, vu in 0_u64..99, iteration in 0_u64..99) {
        let text = "${uuid} ${random(1,1000000)} ${random_string(9)} ${random_hex(9)} \
                    ${pick(a|b|c)} ${counter(n)} ${now} ${now_iso}";
        let once = render(text, round, (vu, iteration));
        prop_assert_eq!(&once, &render(text, round, (vu, iteration)));
        prop_assert_ne!(&once, &render(text, round + 1, (vu, iteration)));
        prop_assert_ne!(&once, &render(text, round, (vu + 1, iteration)));
        prop_assert_ne!(&once, &render(text, round, (vu, iteration + 1)));
    }

    /// No text makes the compiler panic, and what compiles is written back to the same.
    #[test]
    fn any_text_compiles_or_is_refused(text in "(\\$|\\{|\\}|[a-z(),|:.0-9 ]){0,40}") {
        // What `$${` stands for is written as text.
        prop_assume!(!text.contains("$${"));
        if let Ok(template) = Template::compile(&text, Escape::Query) {
            let again = Template::compile(&template.written(), Escape::Query).unwrap();
            prop_assert_eq!(again.written(), template.written());
        }
    }
}
