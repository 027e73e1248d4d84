//! A list of operations, each with what it takes and what it answers.
//! In: an operation and the function that does it. Out: a router, and the OpenAPI 3.1 document of
//! the same operations, with the schemas of the very types that are read and written.
//! Leaves to others: doing it.

use crate::app::App;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Where all operations stand.
const BASE: &str = "/api/v1";

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Needs {
    /// Anybody.
    Nothing,
    /// An account, or a guest where the server is open.
    Entry,
    /// An account.
    Account,
}

/// Gives the schema of a type, or where it stands.
type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// An operation, as it is described.
pub(super) struct Operation {
    method: (&'static str, MethodFilter),
    path: &'static str,
    summary: &'static str,
    needs: Needs,
    query: Option<MakeSchema>,
    body: Option<MakeSchema>,
    /// Takes a form with a file.
    form: bool,
    /// Each a status, and the schema of the body if there is one.
    answers: Vec<(u16, Option<MakeSchema>)>,
    problems: Vec<u16>,
}

macro_rules! methods {
    ($($name:ident $filter:ident)*) => { $(
        /// An operation of that method at a path below the interface's own.
        pub(super) fn $name(path: &'static str, summary: &'static str) -> Operation {
            Operation::new((stringify!($name), MethodFilter::$filter), path, summary)
        }
    )* };
}
methods! { get GET post POST put PUT patch PATCH delete DELETE }

impl Operation {
    fn new(
        method: (&'static str, MethodFilter),
        path: &'static str,
        summary: &'static str,
    ) -> Self {
        let (answers, problems) = (Vec::new(), Vec::new());
        let (query, body, form, needs) = (None, None, false, Needs::Account);
        Self { method, path, summary, needs, query, body, form, answers, problems }
    }

    /// Who may ask for it, when it is not for accounts alone.
    pub(super) fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Takes a query of that type.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(schema_in_place::<T>);
        self
    }

    /// Takes a JSON body of that type.
    pub(super) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Takes a form with a file in its part `file`.
    pub(super) fn form(mut self) -> Self {
        self.form = true;
        self
    }

    /// Answers with a JSON body of that type.
    pub(super) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers.push((status, Some(SchemaGenerator::subschema_for::<T>)));
        self
    }

    /// Answers with nothing or with something that is not JSON.
    pub(super) fn answers_plainly(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }

    /// Has problems of its own, besides those that come with what it takes.
    pub(super) fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    /// Every status it can answer with a problem.
    fn all_problems(&self) -> Vec<u16> {
        let mut all = self.problems.clone();
        all.extend([429, 500, 503]);
        if self.needs != Needs::Nothing {
            all.push(401);
        }
        if self.path.contains('{') {
            all.extend([400, 404]);
        }
        if self.query.is_some() {
            all.push(400);
        }
        if self.body.is_some() || self.form {
            all.extend([400, 408, 413, 415, 422]);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let mut responses = Map::new();
        for (status, schema) in &self.answers {
            let mut answer = json!({ "description": self.summary });
            if let Some(schema) = schema {
                let schema = schema(generator);
                answer["content"] = json!({ "application/json": { "schema": schema } });
            }
            responses.insert(status.to_string(), answer);
        }
        let problem = generator.subschema_for::<crate::problem::Document<'_>>();
        for status in self.all_problems() {
            let content = json!({ "application/problem+json": { "schema": problem } });
            let described = json!({ "description": reason(status), "content": content });
            responses.insert(status.to_string(), described);
        }
        let mut parameters = path_parameters(self.path);
        if let Some(query) = self.query {
            parameters.extend(query_parameters(&query(generator)));
        }
        let tag = self.path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let mut described = json!({
            "operationId": self.name(),
            "summary": self.summary,
            "tags": [tag],
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(body) = self.body {
            let content = json!({ "application/json": { "schema": body(generator) } });
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        if self.form {
            let file = json!({ "type": "string", "contentMediaType": "application/octet-stream" });
            let schema =
                json!({ "type": "object", "properties": { "file": file }, "required": ["file"] });
            let content = json!({ "multipart/form-data": { "schema": schema } });
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        described["security"] = match self.needs {
            Needs::Nothing => json!([]),
            Needs::Entry => json!([{}, { "token": [] }]),
            Needs::Account => json!([{ "token": [] }]),
        };
        described
    }

    /// Method and path as one word.
    fn name(&self) -> String {
        let words = self.path.split(['/', '{', '}']).filter(|word| !word.is_empty());
        words.fold(self.method.0.to_owned(), |name, word| format!("{name}_{word}"))
    }
}

fn reason(status: u16) -> &'static str {
    axum::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Problem")
}

/// A schema that refers to nothing else.
fn schema_in_place<T: JsonSchema>(_: &mut SchemaGenerator) -> Schema {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let parameter = |name: &str| {
        let kind = if name == "id" { "integer" } else { "string" };
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": kind } })
    };
    names.map(parameter).collect()
}

fn query_parameters(schema: &Schema) -> Vec<Value> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let parameter = |(name, schema): (&String, &Value)| {
        let (description, required) = (&schema["description"], is_required(name));
        json!({ "name": name, "in": "query", "required": required,
            "description": description, "schema": schema })
    };
    properties.iter().map(parameter).collect()
}

/// The operations so far.
pub(super) struct Api {
    router: Router<Arc<App>>,
    generator: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Default for Api {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let generator = settings.into_generator();
        Self { router: Router::new(), generator, paths: Map::new() }
    }
}

/// What an OpenAPI document says first.
#[derive(Serialize)]
struct Head {
    title: &'static str,
    version: &'static str,
    description: &'static str,
}

impl Api {
    /// Enters an operation, and what does it.
    pub(super) fn add<T: 'static>(
        mut self,
        operation: Operation,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        let path = format!("{BASE}{}", operation.path);
        let (method, filter) = operation.method;
        let described = operation.describe(&mut self.generator);
        let methods = self.paths.entry(path.clone()).or_insert_with(|| json!({}));
        methods[method] = described;
        self.router = self.router.route(&path, on(filter, handler));
        self
    }

    /// The router, and the document as JSON.
    pub(super) fn finish(mut self) -> (Router<Arc<App>>, String) {
        let head = Head {
            title: "Ebbtide chat",
            version: env!("CARGO_PKG_VERSION"),
            description: "A real-time chat. Errors are problem documents (RFC 9457).",
        };
        let token = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
        let document = json!({
            "openapi": "3.1.0",
            "info": head,
            "paths": self.paths,
            "components": {
                "schemas": self.generator.take_definitions(true),
                "securitySchemes": { "token": token },
            },
        });
        (self.router, document.to_string())
    }
}
