//! Secrets in a command line, hidden before it is written down: a run's folder is shown around.
//! In: words as typed. Out: the same with `***` in the place of logins in URLs, of headers and of
//! variables whose names say that they are secret. Which names do is left to `loadgen::import`.

use ebbtide_loadgen::import::{is_secret_field, is_secret_header};

/// What stands in the place of a secret.
const HIDDEN: &str = "***";
/// Words in the name of a variable that make its value a secret.
const VARIABLES: [&str; 6] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"];

/// The words with their secrets hidden.
pub(crate) fn hidden(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut before = String::new();
    words
        .into_iter()
        .map(|word| {
            let shown = shown(&before, &word);
            before = word;
            shown
        })
        .collect()
}

fn shown(before: &str, word: &str) -> String {
    let (flag, value) = parted(before, word);
    let hidden = match flag {
        "-H" | "--header" => header(value),
        "-e" | "--env" => variable(value),
        _ => None,
    };
    let hidden = hidden.unwrap_or_else(|| query(&login(value)));
    format!("{}{hidden}", &word[..word.len() - value.len()])
}

/// The flag that a word belongs to, and its value: `-H x`, `-Hx`, `--header x`, `--header=x`.
fn parted<'a>(before: &'a str, word: &'a str) -> (&'a str, &'a str) {
    if let Some((flag, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
        return (flag, value);
    }
    match word.get(..2) {
        Some(flag @ ("-H" | "-e")) if word.len() > 2 => (flag, &word[2..]),
        _ => (before, word),
    }
}

/// `Authorization: x`.
fn header(text: &str) -> Option<String> {
    let (name, _) = text.split_once(':')?;
    is_secret_header(name).then(|| format!("{name}: {HIDDEN}"))
}

/// `API_TOKEN=x`.
fn variable(text: &str) -> Option<String> {
    let (name, _) = text.split_once('=')?;
    let upper = name.to_uppercase();
    let secret = is_secret_field(name) || VARIABLES.iter().any(|word| upper.contains(word));
    secret.then(|| format!("{name}={HIDDEN}"))
}

/// A URL without the user and password in it; all else as it is.
fn login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}{}", &rest[end..]),
        None => text.to_owned(),
    }
}

/// A URL without the secrets in its query.
fn query(text: &str) -> String {
    let Some((path, query)) = text.split_once('?').filter(|_| text.contains("://")) else {
        return text.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret_field(name) => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_all_else_stays() {
        for (typed, shown) in [
            (
                "ebb run s.toml --proxy http://me:pw@10.0.0.1:3128",
                "--proxy http://***@10.0.0.1:3128",
            ),
            ("ebb run s.toml --proxy=http://me:p@w@h:1/", "--proxy=http://***@h:1/"),
            ("ebb load https://me@h/a?token=x&page=2", "https://***@h/a?token=***&page=2"),
            ("ebb load http://h/ -H Authorization:x", "-H Authorization: ***"),
            ("ebb load http://h/ -Hx-api-key:x", "-Hx-api-key: ***"),
            ("ebb load http://h/ --header=Cookie:x", "--header=Cookie: ***"),
            ("ebb load http://h/ -H accept:x", "-H accept:x"),
            ("ebb run s.toml -e DB_PASSWORD=x", "-e DB_PASSWORD=***"),
            ("ebb run s.toml -e HOST=a:b@c", "-e HOST=a:b@c"),
            ("ebb run s.toml --push prometheus=https://u:p@h/w", "prometheus=https://***@h/w"),
            ("ebb load http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
        ] {
            let words = typed.split(' ').map(str::to_owned);
            let all = hidden(words).join(" ");
            assert!(all.ends_with(shown), "{typed}: {all}");
        }
    }
}
