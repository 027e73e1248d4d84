//! Which rows of a comparison are wanted, and in which order: the flags that `ebb diff` and `ebb
//! show` share. In: words as typed. Out: rows picked and sorted, of either family of snapshots.
//! How a row looks is left to `table`.

use clap::{Args, ValueEnum};
use ebbtide_loadgen::scenario::units;
use ebbtide_record::Kind;
use regex::Regex;

/// What a row stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum By {
    /// A function in a file of your own code.
    Site,
    /// A function, whatever its file is called.
    Function,
    /// A full stack.
    Stack,
    /// The module, package or file of the function.
    Module,
    /// What is held: connection, listener, timer, context, cache, task, other.
    Kind,
    /// A class or constructor: V8 heap snapshots alone have these.
    Type,
}

/// Order of the rows, the largest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sort {
    /// Growth in bytes.
    Growth,
    /// Bytes after.
    After,
    /// Bytes before.
    Before,
    /// Growth in objects.
    Objects,
    /// The name, from a to z.
    Name,
}

/// The rows wanted.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rows {
    /// What a row stands for [default: site; type for V8 heap snapshots]
    #[arg(long, value_enum, help_heading = "Rows")]
    pub(crate) by: Option<By>,
    /// Order of the rows, the largest first
    #[arg(long, value_enum, default_value_t = Sort::Growth, help_heading = "Rows")]
    pub(crate) sort: Sort,
    /// Rows whose name matches a regular expression; with --by stack, any frame
    #[arg(long, value_name = "REGEX", value_parser = pattern, help_heading = "Rows")]
    filter: Option<Regex>,
    /// Rows of a kind: connection, listener, timer, context, cache, task or other; repeatable
    #[arg(long, value_name = "KIND", value_parser = kind, help_heading = "Rows")]
    pub(crate) kind: Vec<Kind>,
    /// Rows that grew or shrank by so much, such as 64KiB
    #[arg(long, value_name = "BYTES", default_value = "0B", hide_default_value = true,
          value_parser = units::size, help_heading = "Rows")]
    min: u64,
    /// Count all that was ever allocated, not what is live
    #[arg(long, help_heading = "Rows")]
    pub(crate) cumulative: bool,
    /// Lines of the table
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT", help_heading = "Rows")]
    limit: usize,
    /// All rows, with what belongs to the engine apart
    #[arg(long, conflicts_with = "limit", help_heading = "Rows")]
    pub(crate) all: bool,
    /// Path prefix of your own code; repeatable
    #[arg(long, value_name = "PREFIX", help_heading = "Rows")]
    pub(crate) own: Vec<String>,
}

/// What rows are picked and sorted by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures<'a> {
    /// Function, or class.
    pub(super) name: &'a str,
    /// Bytes, after less before.
    pub(super) growth: f64,
    /// Bytes before.
    pub(super) before: f64,
    /// Bytes after.
    pub(super) after: f64,
    /// Objects, after less before.
    pub(super) objects: f64,
}

impl Rows {
    /// Lines of the table.
    pub(super) fn limit(&self) -> usize {
        if self.all { usize::MAX } else { self.limit }
    }

    /// Fewer rows than there are may be picked.
    pub(super) fn is_choosy(&self) -> bool {
        self.filter.is_some() || self.min > 0 || !self.kind.is_empty()
    }

    /// The kind is one of those wanted.
    pub(super) fn wants_kind(&self, kind: Kind) -> bool {
        self.kind.is_empty() || self.kind.contains(&kind)
    }

    /// One of a row's names is wanted.
    pub(super) fn wants_name<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        self.filter.as_ref().is_none_or(|filter| names.any(|name| filter.is_match(name)))
    }

    /// The row is large enough.
    pub(super) fn wants_size(&self, figures: &Figures<'_>) -> bool {
        figures.growth.abs() >= self.min as f64
    }

    /// Sorts rows. Equal ones stand by name, so that the order is always the same.
    pub(super) fn sort<T>(&self, rows: &mut [T], figures: impl Fn(&T) -> Figures<'_>) {
        rows.sort_by(|a, b| {
            let (a, b) = (figures(a), figures(b));
            let by_size = match self.sort {
                Sort::Growth => b.growth.total_cmp(&a.growth),
                Sort::After => b.after.total_cmp(&a.after),
                Sort::Before => b.before.total_cmp(&a.before),
                Sort::Objects => b.objects.total_cmp(&a.objects),
                Sort::Name => a.name.cmp(b.name),
            };
            by_size.then_with(|| b.after.total_cmp(&a.after)).then_with(|| a.name.cmp(b.name))
        });
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        format!("{reason} (write `\\` before a sign that is meant as it stands, as in `f\\(`)")
    })
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.key() == text).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.key()).collect();
        format!("no kind of that name (known: {})", known.join(", "))
    })
}
