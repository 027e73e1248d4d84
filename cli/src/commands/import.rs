//! `ebb import`: a scenario out of what others wrote down. In: a HAR file, an OpenAPI document or
//! a curl command line. Out: the scenario on standard output or in a file, and on standard error
//! what a person should know of it. What it is made of is left to `loadgen`.

use super::on_runtime;
use crate::failure::Failure;
use crate::output::Output;
use crate::web::Endpoint;
use clap::{Args, Subcommand};
use ebbtide_loadgen::Scenario;
use ebbtide_loadgen::import::curl;
use ebbtide_loadgen::import::har::{self, HarWish};
use ebbtide_loadgen::import::openapi::{self, ApiWish};
use ebbtide_loadgen::import::{ImportError, Imported};
use ebbtide_rounds::exit;
use std::path::PathBuf;
use std::time::Duration;

/// How long a document may take to come.
const FETCH_WITHIN: Duration = Duration::from_secs(30);

/// The arguments of `ebb import`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb import har recording.har --no-static --think -o shop.toml
  ebb import openapi http://127.0.0.1:8080/openapi.json -o api.toml
  ebb import curl 'curl http://127.0.0.1:8080/a -d x=1'
  ebb import curl -- curl http://127.0.0.1:8080/a -d x=1
Secrets do not get into the scenario: they are variables of the environment there.")]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
    /// File to write the scenario to [default: standard output]
    #[arg(short, long, value_name = "FILE", global = true)]
    out: Option<PathBuf>,
}

/// What is imported.
#[derive(Debug, Subcommand)]
enum From {
    /// A recording of a browser (HAR 1.2)
    Har {
        /// The file; `-` is standard input
        file: String,
        /// The host that is loaded [default: that of the first request]
        #[arg(long)]
        host: Option<String>,
        /// Leave out style sheets, scripts, pictures, fonts and films
        #[arg(long)]
        no_static: bool,
        /// Keep the pauses between requests
        #[arg(long)]
        think: bool,
    },
    /// An OpenAPI document (3.0 or 3.1, JSON or YAML)
    Openapi {
        /// The file, or an http:// URL; `-` is standard input
        document: String,
        /// Methods to make steps of, such as get,post [default: all]
        #[arg(long, value_delimiter = ',', value_name = "METHODS")]
        methods: Vec<String>,
    },
    /// A curl command line, as browsers copy it
    Curl {
        /// The command as one word, or its words after `--`; `-` is standard input
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

impl Import {
    /// Imports, and writes the scenario.
    ///
    /// # Errors
    ///
    /// When there is nothing that can be imported, or the file cannot be written.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let (imported, origin) = self.from.imported()?;
        let text = imported.to_toml(&origin);
        // A scenario that our own reader refuses would help nobody.
        let name =
            self.out.as_ref().map_or("scenario.toml".into(), |out| out.display().to_string());
        if let Err(faults) = Scenario::parse(&text, &name) {
            output.say(&format!("this part has no word in a scenario yet:\n{faults}"));
        }
        for note in &imported.notes {
            output.say(note);
        }
        match &self.out {
            Some(out) => {
                crate::form::write(out, &text)?;
                output.say(&format!("wrote {}", out.display()));
                output.say(&format!("next: ebb run {}", out.display()));
            }
            None => output.result(&text)?,
        }
        Ok(exit::FINE)
    }
}

impl From {
    fn imported(&self) -> Result<(Imported, String), Failure> {
        match self {
            Self::Har { file, host, no_static, think } => {
                let wish = HarWish { host: host.clone(), no_static: *no_static, think: *think };
                let text = text_of(file)?;
                Ok((har::import(&text, &wish).map_err(|error| at(file, &error))?, file.clone()))
            }
            Self::Openapi { document, methods } => {
                let methods = methods.iter().map(|method| method.to_lowercase()).collect();
                let source = document.contains("://").then(|| document.clone());
                let text = if source.is_some() { fetched(document)? } else { text_of(document)? };
                let wish = ApiWish { source, methods };
                let imported = openapi::import(&text, &wish);
                Ok((imported.map_err(|error| at(document, &error))?, document.clone()))
            }
            Self::Curl { command } => {
                let imported = match command.as_slice() {
                    [one] if one == "-" => curl::import(&text_of("-")?),
                    [one] => curl::import(one),
                    words => curl::import_words(words.to_vec()),
                };
                Ok((imported.map_err(Failure::usage)?, "a curl command".to_owned()))
            }
        }
    }
}

/// A recording as it is loaded at once, for `ebb load --har`.
///
/// # Errors
///
/// When it cannot be read or imported, or our own reader refuses a part of it.
pub(super) fn recorded(file: &str) -> Result<(Scenario, Vec<String>), Failure> {
    let wish = HarWish { no_static: false, ..HarWish::default() };
    let imported = har::import(&text_of(file)?, &wish).map_err(|error| at(file, &error))?;
    let scenario = Scenario::parse(&imported.to_toml(file), file)?;
    Ok((scenario, imported.notes))
}

fn at(file: &str, error: &ImportError) -> Failure {
    Failure::usage(format!("`{file}`: {error}"))
}

fn text_of(file: &str) -> Result<String, Failure> {
    crate::text::of(file).map_err(|why| Failure::usage(format!("`{file}`: {why}")))
}

fn fetched(url: &str) -> Result<String, Failure> {
    let endpoint = Endpoint::of(url).map_err(|why| {
        Failure::usage(format!("{why} (or fetch it with another tool, and import the file)"))
    })?;
    let asked = endpoint.ask(hyper::Method::GET, &[], Vec::new(), FETCH_WITHIN);
    let (status, body) = on_runtime(1, async { asked.await.map_err(Failure::failed) })
        .map_err(|failure| Failure::failed(format!("`{url}`: {failure}: is it running?")))?;
    if !(200..300).contains(&status) {
        return Err(Failure::failed(format!("`{url}`: status {status}: check the path")));
    }
    String::from_utf8(body).map_err(|_| Failure::failed(format!("`{url}`: it is no text")))
}
