//! What is said of settings against what comes of it: sources, ranges, places of faults.
//! In: files, variables and flags as text. Out: nothing; each test fails where they are misread.
//! Leaves to others: the real environment and command line (`tests/settings.rs`).

use super::*;

fn variables_of(said: &[(&str, &str)]) -> Vec<(String, String)> {
    said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flag(name: &str, values: &[&str]) -> Said {
    let field = FIELDS.iter().find(|field| field.name == name).expect("a setting");
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Said { field, origin: Origin::Flag(field.flag()), values }
}

fn file(text: &str) -> Result<Settings, Faults> {
    Settings::read(Sources { file: Some(("chat.toml", text)), ..Sources::default() })
}

#[test]
fn names_and_flags_are_unique_and_every_default_is_good() {
    for (n, field) in FIELDS.iter().enumerate() {
        assert_eq!(field.place(), n, "{field:?}");
        assert!(!field.help.ends_with('.'), "{field:?}");
        let flags = FIELDS.iter().filter(|other| other.flag() == field.flag());
        assert_eq!(flags.count(), 1, "{field:?}");
    }
    let shown = Settings::read(Sources::default()).expect("defaults are good").show();
    assert_eq!(shown.matches("# default").count(), FIELDS.len(), "{shown}");
    // What is shown is a file that says the same.
    let again = file(&shown).expect("the defaults, written").show();
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&shown));
    for (flag, name) in [("room", "rooms"), ("proxy", "proxies"), ("ping-every", "ping_every")] {
        assert!(FIELDS.iter().any(|field| field.flag() == flag && field.name == name), "{flag}");
    }
}

#[test]
fn the_page_tells_of_each() {
    let page = include_str!("../../../docs/server.md");
    for field in &FIELDS {
        let mut row = format!("| `{}` |", field.name);
        let default = value::show(field, &Told::default()).unwrap_or_default();
        let words = default.trim_matches(['[', ']']).replace('"', "");
        row += &if words.is_empty() { "  |".to_owned() } else { format!(" `{words}` |") };
        assert!(page.contains(&row), "docs/server.md has no row `{row}`");
    }
}

#[test]
fn a_flag_goes_before_a_variable_and_a_variable_before_the_file() {
    let text =
        "port = 1\nhost = \"a\"\nrooms = [\"x\", \"y\"]\nping_every = \"10s\"\nopen = false\n";
    let settings = Settings::read(Sources {
        file: Some(("chat.toml", text)),
        variables: variables_of(&[
            ("PORT", "5"),
            ("EBB_SERVER_HOST", "b"),
            ("EBB_SERVER_ROOMS", "one, two,"),
            ("EBB_SERVER_CONFIG", "chat.toml"),
            ("HOME", "/root"),
        ]),
        flags: vec![flag("host", &["c"]), flag("origins", &["https://a", "https://b"])],
    });
    let settings = settings.expect("all is good");
    let config = settings.config();
    assert_eq!((config.host.as_str(), config.port, config.open), ("c", 5, false));
    assert_eq!((config.rooms.len(), config.origins.len()), (2, 2));
    let shown = settings.show();
    for (name, origin) in [
        ("host = \"c\"", "--host"),
        ("port = 5", "PORT"),
        ("rooms = [\"one\", \"two\"]", "EBB_SERVER_ROOMS"),
        ("ping_every = \"10s\"", "chat.toml:4"),
        ("open = false", "chat.toml:5"),
        ("silence = \"1m\"", "default"),
        ("# secret is not set", "default"),
    ] {
        let line = shown.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no `{name}` in {shown}"));
        assert!(line.ends_with(&format!("# {origin}")), "{line}");
    }
    // The port of the settings goes before the host's.
    let both = variables_of(&[("EBB_SERVER_PORT", "6"), ("PORT", "5")]);
    let settings = Settings::read(Sources { variables: both, ..Sources::default() });
    assert_eq!(settings.expect("two ports").config().port, 6);
}

#[test]
fn secrets_are_masked() {
    let secret = "0123456789abcdef0123456789abcdef";
    for (database, shown) in [
        ("postgres://ebb:hunter2@db/chat", "postgres://ebb:***@db/chat"),
        ("postgres://ebb:hu@nter2@db/chat", "postgres://ebb:***@db/chat"),
        ("postgres://ebb@db/chat?password=hunter2", "postgres://ebb@db/chat?password=***"),
    ] {
        let variables =
            variables_of(&[("EBB_SERVER_SECRET", secret), ("EBB_SERVER_DATABASE", database)]);
        let settings = Settings::read(Sources { variables, ..Sources::default() });
        let text = settings.expect("a database").show();
        assert!(text.contains("secret = \"***\"") && text.contains(shown), "{text}");
        assert!(!text.contains("nter2") && !text.contains(secret), "{text}");
    }
}

#[test]
fn a_redis_is_masked_and_an_empty_one_is_none() {
    for (redis, shown) in [
        ("redis://:hunter2@cache:6379/1", "redis = \"redis://:***@cache:6379/1\""),
        ("redis://127.0.0.1:6379", "redis = \"redis://127.0.0.1:6379\""),
        ("", "# redis is not set"),
    ] {
        let variables = variables_of(&[("EBB_SERVER_REDIS", redis)]);
        let settings = Settings::read(Sources { variables, ..Sources::default() });
        let settings = settings.expect("a Redis or none");
        let text = settings.show();
        assert!(text.contains(shown) && !text.contains("hunter2"), "{text}");
        assert_eq!(settings.config().redis.unwrap_or_default(), redis);
    }
}

#[test]
fn wrong_values_are_refused_with_place_and_cure() {
    for (text, says) in [
        ("prot = 1", "chat.toml:1: there is no setting `prot` (did you mean `port`?)"),
        ("\nport = 70000", "chat.toml:2: `70000` is no port"),
        ("port = \"x\"", "0 takes a free one"),
        ("port = [1]", "a text, a whole number"),
        ("rooms = \"lobby\"", "a list is wanted"),
        ("rooms = []", "name at least one"),
        ("open = \"maybe\"", "neither `true` nor `false`"),
        ("secret = \"short\"", "32 are the least"),
        ("proxies = [\"10.0.0/8\"]", "is no network"),
        ("requests = \"fast\"", "`50:200`: 50 a second"),
        ("connections = 0", "out of range (1 to 10000000)"),
        ("message_bytes = \"64GB\"", "out of range (64B to 16MiB)"),
        ("message_bytes = \"much\"", "is not a size"),
        ("upload_quota = \"2PB\"", "is not a size"),
        ("upload_bytes = \"2GiB\"", "out of range (64B to 1GiB)"),
        ("redis = \"http://ebb:short@cache\"", "`http://ebb:***@cache` is no address of a Redis"),
        ("ping_every = \"1ms\"", "out of range (100ms to 24h)"),
        ("ping_every = \"soon\"", "is not a duration"),
        ("ping_every = \"2m\"", "let `silence` be longer"),
        ("tls_key = \"key.pem\"", "chat.toml:1: `tls_certificate` and `tls_key` belong together"),
        ("host = \"\"", "it is empty"),
        ("port = ", "chat.toml:1"),
    ] {
        let said = file(text).expect_err(text).to_string();
        assert!(said.contains(says), "{text}: {said}");
        assert!(!said.contains("short"), "{said}");
    }
    for (name, value, says) in [
        ("EBB_SERVER_PROT", "1", "EBB_SERVER_PROT: there is no such setting (did you mean"),
        ("EBB_SERVER_DRAIN", "-1s", "EBB_SERVER_DRAIN: `-1s` is not a duration"),
        ("PORT", "tcp://10.0.0.1", "PORT: `tcp://10.0.0.1` is no port"),
    ] {
        let variables = variables_of(&[(name, value)]);
        let said = Settings::read(Sources { variables, ..Sources::default() }).expect_err(name);
        assert!(said.to_string().contains(says), "{said}");
    }
    // All that is wrong is told at once.
    let flags = vec![flag("port", &["x"]), flag("events", &["0:1"])];
    let file = Some(("chat.toml", "prot = 1\nhost = 7.5"));
    let said = Settings::read(Sources { file, flags, ..Sources::default() }).expect_err("four");
    assert_eq!(said.to_string().lines().count(), 4, "{said}");
}
