//! Who may import what: the table of edges between crates, and no cycle inside a crate.
//!
//! Comes in: the crates' manifests and sources. Goes out: a finding for each edge that is not in
//! the table, for a crate that the table does not know, and for each cycle of modules. Tests hold
//! to the same table: the server is met over the wire, in tests as well.

use super::Finding;
use super::source::Source;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Each crate of ours and the crates of ours that it may import.
const MAY_IMPORT: [(&str, &[&str]); 11] = [
    ("record", &[]),
    ("socketio", &[]),
    ("probe", &[]),
    ("server", &["probe", "socketio"]),
    ("loadgen", &["record", "socketio"]),
    ("profiler", &["record"]),
    ("rounds", &["loadgen", "profiler", "record"]),
    ("reports", &["record"]),
    ("cli", &["record", "socketio", "probe", "server", "loadgen", "profiler", "rounds", "reports"]),
    ("xtask", &[]),
    ("fuzz", &["profiler"]),
];

/// Where the reasons stand.
const EDGE_CURE: &str = "see \"Who may import what\" in ARCHITECTURE.md";

/// Checks the dependencies of every member of the workspace.
pub(super) fn check_manifests(tree: &Tree, findings: &mut Vec<Finding>) {
    let manifests = tree.files().filter_map(|(path, text)| {
        let (folder, name) = path.split_once('/')?;
        (name == "Cargo.toml").then_some((folder, path, text))
    });
    for (folder, path, text) in manifests {
        let Some(allowed) = allowed(folder) else {
            let what = format!("crate `{folder}` has no row in tidy's table of imports");
            findings.push(Finding::new(path, 1, what, EDGE_CURE));
            continue;
        };
        let Ok(manifest) = text.parse::<toml::Table>() else {
            findings.push(Finding::new(path, 1, "not TOML", "see `cargo check`"));
            continue;
        };
        for import in ours_among_dependencies(&manifest) {
            if !allowed.contains(&import.as_str()) {
                let line = line_of(text, &format!("ebbtide-{import}"));
                let what = format!("`{folder}` depends on `{import}`");
                findings.push(Finding::new(path, line, what, EDGE_CURE));
            }
        }
    }
}

/// Checks the paths in the sources, and the modules of each crate for cycles.
pub(super) fn check_sources(sources: &[Source], findings: &mut Vec<Finding>) {
    let mut modules: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        modules.entry(source.folder()).or_default().extend(source.module());
    }
    let mut graphs: BTreeMap<&str, Graph<'_>> = BTreeMap::new();
    for source in sources {
        let folder = source.folder();
        for path in source.named_paths() {
            check_crate_edge(source, path.line, &path.segments[0], findings);
            let (Some(from), false) = (source.module(), path.in_test) else { continue };
            let to = module_named(source, &path.segments);
            let to = to.and_then(|to| modules.get(folder)?.get(to.as_str()).copied());
            if let Some(to) = to.filter(|to| *to != from) {
                let place = (source.path.as_str(), path.line);
                let graph = graphs.entry(folder).or_default();
                graph.entry(from).or_default().entry(to).or_insert(place);
            }
        }
    }
    for graph in graphs.values() {
        findings.extend(cycles(graph));
    }
}

/// Modules, the modules each imports, and where.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (&'a str, usize)>>;

/// The same table, for a path in a source: `ebbtide_record::...`.
fn check_crate_edge(source: &Source, line: usize, first: &str, findings: &mut Vec<Finding>) {
    let Some(import) = first.strip_prefix("ebbtide_") else { return };
    let folder = source.folder();
    let known = MAY_IMPORT.iter().any(|(name, _)| *name == import);
    // A package below tests/ is a user's program, not a part of the crate.
    let own = import == folder || source.path.contains("/tests/foreign/");
    if known && !own && !allowed(folder).is_some_and(|allowed| allowed.contains(&import)) {
        let what = format!("`{folder}` names `{first}`");
        findings.push(Finding::new(&source.path, line, what, EDGE_CURE));
    }
}

/// What a crate of ours may import; none for a folder that is no crate of ours.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    MAY_IMPORT.iter().find(|(name, _)| *name == folder).map(|(_, allowed)| *allowed)
}

/// Our crates among all dependencies of a manifest, those for tests and builds included.
fn ours_among_dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let mut tables: Vec<&toml::Table> = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables
        .iter()
        .flat_map(|table| sections.iter().filter_map(|section| table.get(*section)?.as_table()))
        .flat_map(|section| section.keys())
        .filter_map(|name| name.strip_prefix("ebbtide-"))
        .map(str::to_owned)
        .collect()
}

/// The module below the crate's root that a path leads to, if it can be told from the path alone.
fn module_named(source: &Source, segments: &[String]) -> Option<String> {
    let rest = source.path.split_once("/src/")?.1;
    let folders = rest.matches('/').count();
    let depth = if rest.ends_with("/mod.rs") { folders } else { folders + 1 };
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    match segments.first()?.as_str() {
        "crate" => segments.get(1).cloned(),
        "super" if supers == depth => segments.get(supers).cloned(),
        _ => None,
    }
}

/// Every cycle once, at the edge that closes it.
fn cycles(graph: &Graph<'_>) -> Vec<Finding> {
    fn visit<'a>(
        graph: &Graph<'a>,
        trail: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let Some(here) = trail.last().copied() else { return found };
        for (next, (file, line)) in graph.get(here).into_iter().flatten() {
            if let Some(start) = trail.iter().position(|module| module == next) {
                let what = format!("modules in a cycle: {} -> {next}", trail[start..].join(" -> "));
                let cure = "move what both need to the one that knows less";
                found.push(Finding::new(file, *line, what, cure));
            } else if !done.contains(next) {
                trail.push(next);
                found.extend(visit(graph, trail, done));
                trail.pop();
            }
        }
        done.insert(here);
        found
    }
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for module in graph.keys() {
        if !done.contains(module) {
            found.extend(visit(graph, &mut vec![module], &mut done));
        }
    }
    found
}

fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings_of;

    /// What the architecture forbids, in words of its own: the table above is tested against it.
    const FORBIDDEN: [(&str, &str); 9] = [
        ("record", "probe"),
        ("probe", "record"),
        ("server", "record"),
        ("server", "loadgen"),
        ("loadgen", "server"),
        ("profiler", "probe"),
        ("reports", "profiler"),
        ("rounds", "server"),
        ("xtask", "record"),
    ];
    const WANTED: [(&str, &str); 7] = [
        ("server", "probe"),
        ("loadgen", "record"),
        ("profiler", "record"),
        ("rounds", "profiler"),
        ("rounds", "loadgen"),
        ("reports", "record"),
        ("cli", "server"),
    ];

    #[test]
    fn the_table_is_tested_both_ways() {
        for (edges, expected) in [(&FORBIDDEN[..], 1), (&WANTED[..], 0)] {
            for (from, to) in edges {
                for section in
                    ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"]
                {
                    let manifest =
                        format!("[{section}]\nserde = \"1\"\nebbtide-{to}.workspace = true\n");
                    let path = format!("{from}/Cargo.toml");
                    let mut findings = Vec::new();
                    check_manifests(&Tree::of(&[(&path, &manifest)]), &mut findings);
                    assert_eq!(findings.len(), expected, "{from} -> {to} in {section}");
                }
                let (path, text) = (format!("{from}/tests/a.rs"), format!("use ebbtide_{to}::A;"));
                let found = findings_of(&[(&path, &text)], check_sources);
                assert_eq!(found.len(), expected, "{from} -> {to} in a source");
            }
        }
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let mut findings = Vec::new();
        check_manifests(&Tree::of(&[("extra/Cargo.toml", "")]), &mut findings);
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn cycles_are_found_and_one_way_streets_are_not() {
        let cycle = [
            ("a/src/one.rs", "use crate::two::B;"),
            ("a/src/two/mod.rs", "use super::three::C;"),
            ("a/src/three/deep.rs", "use super::super::one::A;"),
        ];
        let found = findings_of(&cycle, check_sources);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("one -> two -> three -> one"), "{found:?}");
        let street = [
            ("a/src/lib.rs", "use crate::one::A; mod one; mod two;"),
            ("a/src/one.rs", "use crate::two::B; #[cfg(test)] mod tests { use crate::A; }"),
            ("a/src/two.rs", "#[cfg(test)] mod tests { use crate::one::A; }"),
        ];
        assert_eq!(findings_of(&street, check_sources), Vec::<String>::new());
    }
}
