//! Tables and their cells: scenarios whose first comment lines say what is planted, as
//! `docs/truth.md` defines it.
//!
//! Comes in: folders of scenarios. Goes out: cells, several for a scenario with `# each:`, each
//! with its truth and what must be built before. Running them is left to `drive`.

use super::expect::Expect;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Runs of each cell unless its scenario says otherwise.
const RUNS: u32 = 5;

/// The tables, the most telling first, and the folders they are read from.
pub(super) const TABLES: [(&str, &str); 8] = [
    ("fifty", "cli/tests/planted/fifty"),
    ("clean", "cli/tests/planted/clean"),
    ("mix", "cli/tests/planted/mix"),
    ("node", "cli/tests/node"),
    ("go", "cli/tests/go"),
    ("filling", "cli/tests/planted/filling"),
    ("grid", "cli/tests/planted/grid"),
    ("ci", CI_FOLDER),
];

/// The table of a build machine: few runs, short enough for a debug build.
pub(super) const CI: &str = "ci";
const CI_FOLDER: &str = "cli/tests/planted/ci";

/// One program with one truth.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Of which table.
    pub(super) table: String,
    /// The scenario's name, and the first value of each of its groups.
    pub(super) name: String,
    /// Where the scenario is.
    pub(super) folder: PathBuf,
    /// The scenario, but for what is known at a run only.
    pub(super) text: String,
    /// The truth.
    pub(super) expect: Expect,
    /// How many runs are made.
    pub(super) runs: u32,
    /// Cargo packages to build.
    pub(super) packages: Vec<PathBuf>,
    /// Other commands that build something.
    pub(super) builds: Vec<String>,
}

impl Cell {
    /// Mean bytes between two samples, as the scenario says it.
    pub(super) fn interval(&self) -> Option<f64> {
        let scenario: toml::Table = self.text.parse().ok()?;
        let said = scenario.get("memory")?.get("sample_interval");
        bytes(said.and_then(toml::Value::as_str).unwrap_or("64KiB"))
    }

    /// The operations that truth and theory count by.
    pub(super) fn operation(&self) -> Option<&str> {
        self.expect.operation.as_deref().or(self.expect.per.as_deref())
    }
}

/// All cells of a table; none when its folder is not there.
///
/// # Errors
/// When a scenario cannot be read, or its head says something unknown.
pub(super) fn table(root: &Path, name: &str, folder: &str) -> Result<Vec<Cell>> {
    let folder = root.join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| {
        path.extension().is_some_and(|end| end == "toml") && !path.ends_with("Cargo.toml")
    });
    paths.sort();
    let mut cells = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        cells.extend(
            cells_of(name, &stem, &folder, &text).with_context(|| format!("{name}/{stem}.toml"))?,
        );
    }
    Ok(cells)
}

/// The cells of one scenario.
fn cells_of(table: &str, stem: &str, folder: &Path, text: &str) -> Result<Vec<Cell>> {
    let mut variants = vec![(stem.to_owned(), text.to_owned())];
    for (key, value) in settings(text) {
        if key == "each" {
            let groups = groups(&value)?;
            variants = variants
                .iter()
                .flat_map(|(name, text)| groups.iter().map(move |group| filled(name, text, group)))
                .collect();
        }
    }
    variants.into_iter().map(|(name, text)| one(table, name, folder, text)).collect()
}

/// Values by their names.
type Group = Vec<(String, String)>;

/// `a,b = 1,2 3,4`: two groups of two values.
fn groups(line: &str) -> Result<Vec<Group>> {
    let (names, values) = line.split_once('=').context("`each` is written `a,b = 1,2 3,4`")?;
    let names: Vec<&str> = names.trim().split(',').map(str::trim).collect();
    let mut groups = Vec::new();
    for group in values.split_whitespace() {
        let values: Vec<&str> = group.split(',').collect();
        if values.len() != names.len() {
            bail!("`each`: `{group}` has not {} values", names.len());
        }
        let pairs = names.iter().zip(values);
        groups.push(pairs.map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect());
    }
    Ok(groups)
}

fn filled(name: &str, text: &str, group: &Group) -> (String, String) {
    let text = group.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{each.{name}}}"), value)
    });
    let first = group.first().map_or("", |(_, value)| value);
    (format!("{name}-{}", first.trim_matches('/')), text)
}

fn one(table: &str, name: String, folder: &Path, text: String) -> Result<Cell> {
    if let Some(at) = text.find("${each.") {
        let rest = text[at..].split('}').next().unwrap_or_default();
        bail!("`{rest}}}` is no value of an `each`");
    }
    let (mut expect, mut runs, mut packages, mut builds) = (None, RUNS, Vec::new(), Vec::new());
    for (key, value) in settings(&text) {
        match key.as_str() {
            "expect" if expect.is_some() => bail!("more than one `# expect:`"),
            "expect" => expect = Some(Expect::read(&value)?),
            "runs" => runs = value.parse().with_context(|| format!("`# runs: {value}`"))?,
            "each" => {}
            "cargo" => packages.push(folder.join(value)),
            "build" => builds.push(value),
            _ => bail!("`# {key}:` is no setting; expect, runs, each, cargo, build"),
        }
    }
    let expect = expect.context("no `# expect:` in the head; docs/truth.md defines it")?;
    let folder = folder.to_path_buf();
    Ok(Cell { table: table.to_owned(), name, folder, text, expect, runs, packages, builds })
}

/// The settings of a head: comments that begin with a lower-case word and a colon.
fn settings(text: &str) -> Vec<(String, String)> {
    let head = text.lines().take_while(|line| line.starts_with('#') || line.trim().is_empty());
    let setting = |line: &str| {
        let (key, value) = line.strip_prefix("# ")?.split_once(':')?;
        let is_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
        is_word.then(|| (key.to_owned(), value.trim().to_owned()))
    };
    head.filter_map(setting).collect()
}

/// `64KiB`, `4096`, as scenarios write sizes.
fn bytes(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "KiB" => 1_024.0,
        "MB" => 1e6,
        "MiB" => 1_048_576.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Result<Vec<Cell>> {
        cells_of("t", "leak", Path::new("a"), text)
    }

    #[test]
    fn each_makes_a_cell_of_each_group_and_lines_are_multiplied() {
        let text = "# Purpose: any.\n# each: size,true = 16,64 64,112\n# each: every = 4KiB 64KiB\n\
            # expect: leaking bytes=${each.true} per=\"POST /a\"\n# runs: 3\n# cargo: ..\n\n\
            [memory]\nsample_interval = \"${each.every}\"\nx = ${each.size}\n";
        let cells = cells(text).expect("cells");
        let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(names, ["leak-16-4KiB", "leak-16-64KiB", "leak-64-4KiB", "leak-64-64KiB"]);
        let last = &cells[3];
        assert_eq!((last.expect.bytes, last.interval()), (Some(112.0), Some(65_536.0)));
        assert_eq!((last.runs, last.operation()), (3, Some("POST /a")));
        assert_eq!(last.packages, [PathBuf::from("a/..")]);
    }

    #[test]
    fn a_head_that_says_something_else_is_refused() {
        for (text, fault) in [
            ("schema = 1\n# expect: clean\n", "no `# expect:`"),
            ("# expect: clean\n# expect: clean\n", "more than one"),
            ("# expect: clean\n# times: 5\n", "`# times:` is no setting"),
            ("# expect: clean\n# runs: some\n", "`# runs: some`"),
            ("# expect: clean\n# each: a,b = 1\n", "has not 2 values"),
            ("# expect: clean\nx = ${each.a}\n", "`${each.a}` is no value"),
            ("# expect: clean colour=red\n", "`colour` is no key"),
        ] {
            let error = format!("{:#}", cells(text).expect_err(text));
            assert!(error.contains(fault), "{text}: {error}");
        }
    }

    #[test]
    fn all_tables_of_the_tree_can_be_read() {
        for (name, folder) in TABLES {
            let cells = table(&crate::paths::root(), name, folder).expect(name);
            let mut names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), cells.len(), "{name}: two cells of one name");
        }
    }
}
