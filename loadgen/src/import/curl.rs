//! A curl command line to a scenario. Pure.
//!
//! In: the line as it is copied, quoted as bash does it, or the words as a shell split it. Out: an
//! [`Imported`] with one step for each URL. Options that mean nothing to a load are left out with
//! a note, unknown ones too: half a request is better than none.

mod words;

use super::secret::Secrets;
use super::{Body, Draft, ImportError, Imported, Part, Request, body_of, literal, pairs};
use std::time::Duration;
use url::Url;

/// Options that take a value, by their long name; the short one where there is one.
const WITH_VALUE: [(&str, &str); 27] = [
    ("X", "request"),
    ("H", "header"),
    ("d", "data"),
    ("", "data-raw"),
    ("", "data-ascii"),
    ("", "data-binary"),
    ("", "data-urlencode"),
    ("", "json"),
    ("F", "form"),
    ("", "form-string"),
    ("u", "user"),
    ("b", "cookie"),
    ("A", "user-agent"),
    ("e", "referer"),
    ("m", "max-time"),
    ("T", "upload-file"),
    ("", "url"),
    ("", "oauth2-bearer"),
    ("x", "proxy"),
    ("o", "output"),
    ("w", "write-out"),
    ("c", "cookie-jar"),
    ("", "connect-timeout"),
    ("", "cacert"),
    ("E", "cert"),
    ("", "resolve"),
    ("", "retry"),
];

/// Options without a value that say nothing about the request.
const SILENT: [(&str, &str); 12] = [
    ("s", "silent"),
    ("S", "show-error"),
    ("v", "verbose"),
    ("i", "include"),
    ("f", "fail"),
    ("N", "no-buffer"),
    ("O", "remote-name"),
    ("#", "progress-bar"),
    ("g", "globoff"),
    ("", "compressed"),
    ("", "http1.1"),
    ("", "no-progress-meter"),
];

/// What the options say of the request so far.
#[derive(Default)]
struct Said {
    urls: Vec<String>,
    method: Option<String>,
    headers: Vec<(String, String)>,
    data: Vec<Datum>,
    json: bool,
    form: Vec<Part>,
    upload: Option<String>,
    to_query: bool,
    head: bool,
    timeout: Option<Duration>,
    notes: Vec<String>,
}

/// One `-d` and its like.
enum Datum {
    Text(String),
    File(String),
}

/// Makes a scenario out of a curl command.
///
/// # Errors
/// When the quotes do not close, an option lacks its value, or there is no URL.
pub fn import(line: &str) -> Result<Imported, ImportError> {
    import_words(words::split(line)?)
}

/// The same for words that a shell has split already.
///
/// # Errors
/// As [`import`].
pub fn import_words(words: Vec<String>) -> Result<Imported, ImportError> {
    let mut words = words.into_iter().peekable();
    words.next_if(|word| word == "$");
    if words.next_if(|word| word == "curl" || word.ends_with("/curl")).is_none() {
        return Err(ImportError::new("the command does not begin with `curl`"));
    }
    let mut said = Said::default();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            said.long(long, &mut || words.next())?;
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            said.short(short, &mut || words.next())?;
        } else {
            said.urls.push(word);
        }
    }
    said.imported()
}

impl Said {
    fn long(
        &mut self,
        option: &str,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> Result<(), ImportError> {
        let (option, value) = match option.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (option, None),
        };
        if WITH_VALUE.iter().any(|(_, long)| *long == option) {
            let missing = || ImportError::new(format!("`--{option}` lacks its value"));
            let value = value.or_else(next).ok_or_else(missing)?;
            self.value(option, value);
        } else {
            self.flag(option);
        }
        Ok(())
    }

    /// Letters that may stand together; what follows one with a value is the value.
    fn short(
        &mut self,
        letters: &str,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> Result<(), ImportError> {
        for (place, letter) in letters.char_indices() {
            let text = letter.to_string();
            let rest = &letters[place + letter.len_utf8()..];
            if let Some((_, long)) = WITH_VALUE.iter().find(|(short, _)| *short == text) {
                let missing = || ImportError::new(format!("`-{letter}` lacks its value"));
                let value = if rest.is_empty() { next() } else { Some(rest.to_owned()) };
                self.value(long, value.ok_or_else(missing)?);
                return Ok(());
            }
            let long = SILENT.iter().find(|(short, _)| *short == text).map(|(_, long)| *long);
            self.flag(long.unwrap_or(match letter {
                'G' => "get",
                'I' => "head",
                'L' => "location",
                'k' => "insecure",
                _ => &text,
            }));
        }
        Ok(())
    }

    fn flag(&mut self, option: &str) {
        match option {
            "get" => self.to_query = true,
            "head" => self.head = true,
            "location" => {
                self.note("`--location`: add `redirects = 10` to the steps that are redirected")
            }
            "insecure" => self.note("`--insecure`: add `tls = { insecure = true }` to the target"),
            "http2" | "http2-prior-knowledge" => {
                self.note(&format!("`--{option}` is left out: say which protocol in the scenario"));
            }
            silent if SILENT.iter().any(|(_, long)| *long == silent) => {}
            unknown => self.note(&format!("the option `{unknown}` is left out")),
        }
    }

    fn value(&mut self, option: &str, value: String) {
        let text = |value: &str| Datum::Text(value.to_owned());
        let file_or_text = |value: &str| match value.strip_prefix('@') {
            Some(path) => Datum::File(path.to_owned()),
            None => text(value),
        };
        match option {
            "url" => self.urls.push(value),
            "request" => self.method = Some(value),
            "header" => self.header(&value),
            "data" | "data-ascii" | "data-binary" => self.data.push(file_or_text(&value)),
            "data-raw" => self.data.push(text(&value)),
            "data-urlencode" => self.data.push(Datum::Text(encoded(&value))),
            "json" => {
                self.json = true;
                self.data.push(file_or_text(&value));
            }
            "form" => self.form.push(part(&value)),
            "form-string" => {
                let (name, value) = value.split_once('=').unwrap_or((&value, ""));
                let (name, text) = (name.to_owned(), literal(value));
                self.form.push(Part { name, text, ..Part::default() });
            }
            "user" => {
                let basic = data_encoding::BASE64.encode(value.as_bytes());
                self.headers.push(("authorization".to_owned(), format!("Basic {basic}")));
                self.note("AUTHORIZATION is the base64 of `user:password`");
            }
            "oauth2-bearer" => {
                self.headers.push(("authorization".to_owned(), format!("Bearer {value}")));
            }
            "cookie" if value.contains('=') => self.headers.push(("cookie".to_owned(), value)),
            "user-agent" => self.headers.push(("user-agent".to_owned(), literal(&value))),
            "referer" => self.headers.push(("referer".to_owned(), literal(&value))),
            "upload-file" => self.upload = Some(value),
            "max-time" => self.timeout = value.parse().ok().map(Duration::from_secs_f64),
            "output" | "write-out" | "cookie-jar" | "connect-timeout" | "retry" => {}
            other => self.note(&format!("`--{other}` is left out")),
        }
    }

    fn header(&mut self, line: &str) {
        // `-H 'Name;'` is a header without a value, `-H 'Name:'` takes one away.
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (name, value.trim()),
            None => (line.trim_end_matches(';'), ""),
        };
        let is_removal = line.trim_end().ends_with(':') && value.is_empty();
        if super::is_of_the_user(name) && !is_removal && !line.starts_with('@') {
            self.headers.push((name.trim().to_ascii_lowercase(), literal(value)));
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn imported(mut self) -> Result<Imported, ImportError> {
        let urls = std::mem::take(&mut self.urls);
        let urls: Vec<Url> = urls.iter().map(|url| parsed(url)).collect::<Result<_, _>>()?;
        let Some(first) = urls.first() else {
            return Err(ImportError::new("there is no URL in the command"));
        };
        let origin = first.origin();
        let mut secrets = Secrets::default();
        let mut steps = Vec::new();
        for url in &urls {
            if url.origin() != origin {
                self.note(&format!("left out `{url}`, which is at another host"));
                continue;
            }
            let mut request = self.request(url);
            secrets.hide(&mut request);
            steps.push(Draft::Request(Box::new(request)));
        }
        self.notes.extend(secrets.notes());
        Ok(Imported {
            name: first.host_str().unwrap_or("curl").to_owned(),
            base: origin.ascii_serialization(),
            steps,
            notes: self.notes,
        })
    }

    fn request(&self, url: &Url) -> Request {
        let mut query = url.query().map(pairs).unwrap_or_default();
        let mut headers = self.headers.clone();
        if !url.username().is_empty() {
            let pair = format!("{}:{}", url.username(), url.password().unwrap_or_default());
            let basic = data_encoding::BASE64.encode(pair.as_bytes());
            headers.push(("authorization".to_owned(), format!("Basic {basic}")));
        }
        let body = if self.to_query {
            for datum in &self.data {
                if let Datum::Text(text) = datum {
                    query.extend(pairs(text));
                }
            }
            None
        } else {
            self.body(&mut headers)
        };
        let default = match &body {
            _ if self.head => "HEAD",
            Some(_) if self.upload.is_some() => "PUT",
            Some(_) => "POST",
            None => "GET",
        };
        Request {
            name: None,
            method: self.method.clone().unwrap_or_else(|| default.to_owned()).to_uppercase(),
            path: literal(url.path()),
            query,
            headers,
            body,
            timeout: self.timeout,
            status: Some("2xx".to_owned()),
        }
    }

    fn body(&self, headers: &mut Vec<(String, String)>) -> Option<Body> {
        let of = |headers: &[(String, String)]| {
            let found = headers.iter().find(|(name, _)| name == "content-type");
            found.map(|(_, value)| value.clone())
        };
        if let Some(path) = &self.upload {
            return Some(Body::File(path.clone(), of(headers).unwrap_or_default()));
        }
        if !self.form.is_empty() {
            return Some(Body::Multipart(self.form.clone()));
        }
        let fallback =
            if self.json { "application/json" } else { "application/x-www-form-urlencoded" };
        if self.json && !headers.iter().any(|(name, _)| name == "accept") {
            headers.push(("accept".to_owned(), "application/json".to_owned()));
        }
        let kind = of(headers).unwrap_or_else(|| fallback.to_owned());
        if let [Datum::File(path)] = self.data.as_slice() {
            return Some(Body::File(path.clone(), kind));
        }
        let texts: Vec<&str> = self
            .data
            .iter()
            .filter_map(
                |datum| if let Datum::Text(text) = datum { Some(text.as_str()) } else { None },
            )
            .collect();
        let text = texts.join(if self.json { "" } else { "&" });
        // Text that only looks like a form is no form.
        let is_form = kind.starts_with(fallback) && !text.contains('=') && !self.json;
        let body = if is_form { body_of(&text, "") } else { body_of(&text, &kind) };
        let body = match body {
            Some(Body::Text(text, none)) if none.is_empty() => Some(Body::Text(text, kind)),
            body => body,
        };
        if matches!(body, Some(Body::Json(_) | Body::Form(_))) {
            headers.retain(|(name, value)| name != "content-type" || value.contains(';'));
        }
        body
    }
}

/// `name=content`, `=content`, `content`: the part after the first `=` is encoded.
fn encoded(value: &str) -> String {
    let (name, content) = value.split_once('=').unwrap_or(("", value));
    let content: String = url::form_urlencoded::byte_serialize(content.as_bytes()).collect();
    if name.is_empty() { content } else { format!("{name}={content}") }
}

/// `name=text`, `name=@path;type=image/png;filename=a.png`, `name=<path`.
fn part(value: &str) -> Part {
    let (name, content) = value.split_once('=').unwrap_or((value, ""));
    let mut part = Part { name: name.to_owned(), ..Part::default() };
    let mut pieces = content.split(';');
    let content = pieces.next().unwrap_or_default();
    for piece in pieces {
        match piece.trim().split_once('=') {
            Some(("type", word)) => part.content_type = Some(word.to_owned()),
            Some(("filename", word)) => part.file_name = Some(word.trim_matches('"').to_owned()),
            _ => {}
        }
    }
    match content.strip_prefix(['@', '<']) {
        Some(path) => part.file = Some(path.trim_matches('"').to_owned()),
        None => part.text = literal(content),
    }
    part
}

/// A URL; without a scheme it is http, as curl has it.
fn parsed(text: &str) -> Result<Url, ImportError> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|error| {
        ImportError::new(format!("`{text}` is not a URL: {error} (quote it, if it has a `&`)"))
    })?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url),
        scheme => Err(ImportError::new(format!("`{text}`: the scheme `{scheme}` is not HTTP"))),
    }
}
