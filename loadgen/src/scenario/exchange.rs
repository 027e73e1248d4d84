//! What an HTTP step may be told: its request, what is asked of the reply, and what steps inherit
//! from their flow and from the target. Pure.
//!
//! In: nothing. Out: the types. Reading them is left to `step/http.rs`, bytes to the plan.

use super::Template;
use crate::check::{Capture, Check};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// An HTTP exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpStep {
    /// `GET`.
    pub method: String,
    /// Path on the base, or a whole URL on the same host.
    pub url: Template,
    /// Query parameters, appended to the URL.
    pub query: Vec<(String, Template)>,
    /// Headers.
    pub headers: Vec<(String, Template)>,
    /// Cookies sent beside those of the user's jar, whose like-named ones they replace.
    pub cookies: Vec<(String, Template)>,
    /// Credentials; none for those that are inherited.
    pub auth: Option<Auth>,
    /// The body, in pieces that follow each other.
    pub body: Option<Vec<BodyPiece>>,
    /// Content type that goes with the body, unless a header says another.
    pub content_type: Option<String>,
    /// Time limit, redirects included.
    pub timeout: Option<Duration>,
    /// Redirects followed at most.
    pub redirects: Option<u32>,
    /// Codings of the body that are offered: `gzip, deflate`; empty for none.
    pub compression: Option<String>,
    /// Predicates on the reply.
    pub checks: Vec<Check>,
    /// Variables taken from the reply.
    pub captures: Vec<Capture>,
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyPiece {
    /// Text.
    Text(Template),
    /// The bytes of a file, by its path as written.
    File(String),
    /// Bytes.
    Bytes(Arc<[u8]>),
}

/// Who the user says to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Nobody, whatever is inherited.
    None,
    /// Name and password (RFC 7617).
    Basic(Template, Template),
    /// A token (RFC 6750).
    Bearer(Template),
}

impl Auth {
    /// Its templates.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::None => Vec::new(),
            Self::Basic(user, password) => vec![user, password],
            Self::Bearer(token) => vec![token],
        }
    }
}

/// What HTTP steps and handshakes inherit, from their flow before the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inherited {
    /// Headers; a step's own of the same name replaces one.
    pub headers: Vec<(String, Template)>,
    /// Credentials.
    pub auth: Option<Auth>,
    /// Time limit of an exchange.
    pub timeout: Option<Duration>,
    /// Redirects followed at most.
    pub redirects: Option<u32>,
    /// Codings of bodies that are offered.
    pub compression: Option<String>,
    /// Users keep the cookies they are given.
    pub cookies: Option<bool>,
    /// They keep them from iteration to iteration.
    pub keep_cookies: Option<bool>,
}

impl Inherited {
    /// These settings, with what they leave open taken from `outer`.
    #[must_use]
    pub fn within(&self, outer: &Self) -> Self {
        let mut headers = self.headers.clone();
        for (name, value) in &outer.headers {
            if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                headers.push((name.clone(), value.clone()));
            }
        }
        Self {
            headers,
            auth: self.auth.clone().or_else(|| outer.auth.clone()),
            timeout: self.timeout.or(outer.timeout),
            redirects: self.redirects.or(outer.redirects),
            compression: self.compression.clone().or_else(|| outer.compression.clone()),
            cookies: self.cookies.or(outer.cookies),
            keep_cookies: self.keep_cookies.or(outer.keep_cookies),
        }
    }
}
