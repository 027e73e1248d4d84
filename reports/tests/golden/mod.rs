//! Golden files: what a render must equal, byte for byte, kept beside this file. In goes a name
//! and what was rendered; out goes nothing, or a panic with the first line that differs.
//! `EBBTIDE_BLESS=1` writes the files anew; whether they are right is left to a person.

use std::path::Path;

/// Panics with the first line that differs unless `seen` equals the golden file `name`.
pub(crate) fn matches(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("EBBTIDE_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, seen).expect("the golden folder can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (was, is))) = expected
        .lines()
        .chain(std::iter::repeat("(end)"))
        .zip(seen.lines().chain(["(end)"]))
        .enumerate()
        .find(|(_, (was, is))| was != is)
    {
        panic!("{name}:{}: was `{was}`, is `{is}` (EBBTIDE_BLESS=1 accepts it)", line + 1);
    }
    assert_eq!(expected, seen, "{name} differs in its line ends");
}
