//! What a growing site most likely is: one of six causes that long-lived servers leak by, or
//! none that can be told. In: a case. Out: the cause, and why we think so, in the numbers of the
//! run. What to do about it is left to `cure`.

use super::Case;
use crate::figures;
use ebbtide_record::Kind;
use ebbtide_record::verdict::SiteVerdict;
use serde::Serialize;

/// Growth on replayed input below this share of all growth is none to speak of: the verdict's
/// own rule, in docs/method.md.
const REPLAY_SHARE: f64 = 0.25;
/// A count per operation this near to a whole number is taken for one.
const WHOLE_WITHIN: f64 = 0.05;

/// Why a server keeps what it should let go of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A listener, callback or subscription that is not removed.
    Listener,
    /// A timer that is not cleared.
    Timer,
    /// A connection or session that is kept after its end.
    Connection,
    /// A request, or what a closure captured of it, that outlives its reply.
    Context,
    /// A cache or a list without a bound.
    Cache,
    /// A task, thread, goroutine or promise that never ends.
    Task,
    /// None of these can be told.
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Listener,
        Self::Timer,
        Self::Connection,
        Self::Context,
        Self::Cache,
        Self::Task,
        Self::Unknown,
    ];

    /// The cause in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Listener => "a listener that is never removed",
            Self::Timer => "a timer that is never cleared",
            Self::Connection => "a connection that is kept after it has ended",
            Self::Context => "a request that is kept after its reply",
            Self::Cache => "a cache or a list without a bound",
            Self::Task => "a task that never ends",
            Self::Unknown => "not told by any name on the stack",
        }
    }

    fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Listener => Self::Listener,
            Kind::Timer => Self::Timer,
            Kind::Connection => Self::Connection,
            Kind::Context => Self::Context,
            Kind::Cache => Self::Cache,
            Kind::Task => Self::Task,
            Kind::Other => Self::Unknown,
        }
    }
}

/// A cause, and why we think so.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Likely {
    /// The cause.
    pub cause: Cause,
    /// Why, a sentence each, without a final dot.
    pub because: Vec<String>,
}

impl Likely {
    /// The likely cause of a site's growth. What the input tells goes before what names tell.
    #[must_use]
    pub fn of(case: &Case<'_>) -> Self {
        let site = case.site;
        let mut because = Vec::new();
        let named = Cause::of_kind(site.kind);
        let cause = if by_key_alone(site) && site.kind_from != "census" {
            because.push(
                "it grows with new input and not when the same input comes again, so it is kept \
                 by key"
                    .to_owned(),
            );
            Cause::Cache
        } else {
            named
        };
        if named != Cause::Unknown {
            because.push(match (site.kind_from.as_str(), named == cause) {
                ("census", _) => format!(
                    "the process itself counts what is made there: kind {}",
                    site.kind.words()
                ),
                (_, true) => format!("names on its stack say {}", site.kind.words()),
                (_, false) => format!(
                    "though names on its stack say {}: look at that as well",
                    site.kind.words()
                ),
            });
        }
        if cause == Cause::Cache && by_replay(site) {
            because.push(
                "the same input makes it grow again, so nothing in it is found by key: a list, or \
                 keys that never repeat"
                    .to_owned(),
            );
        }
        because.extend(whole(case));
        if site.container_bytes > 0 {
            because.push(format!(
                "{} are in containers there, so something is collected",
                figures::bytes(site.container_bytes as f64)
            ));
        }
        because.extend(opened(case, cause));
        Self { cause, because }
    }
}

/// New input makes it grow and replayed input surely does not.
fn by_key_alone(site: &SiteVerdict) -> bool {
    site.growth_on_replay.as_ref().is_some_and(|replay| {
        replay.value < REPLAY_SHARE * site.growth_per_op.value
            && replay.high < site.growth_per_op.value
    })
}

/// Replayed input makes it grow as surely as new input.
fn by_replay(site: &SiteVerdict) -> bool {
    site.growth_on_replay.as_ref().is_some_and(|replay| {
        replay.low > 0.0 && replay.value >= REPLAY_SHARE * site.growth_per_op.value
    })
}

/// Objects that come one (or two, three) at a time.
fn whole(case: &Case<'_>) -> Option<String> {
    let objects = case.site.objects_per_op.as_ref()?;
    let nearest = objects.value.round();
    let off = (objects.value - nearest).abs();
    (objects.confidence > 0.0 && nearest >= 1.0 && off <= WHOLE_WITHIN * nearest).then(|| {
        let (noun, verb) = if nearest == 1.0 { ("object", "stays") } else { ("objects", "stay") };
        format!(
            "{} {noun} {verb} per {} ({}), so each one leaves something behind",
            figures::count(nearest as u64),
            case.operation(),
            figures::estimate(objects)
        )
    })
}

/// It comes with connections, where names tell nothing.
fn opened(case: &Case<'_>, cause: Cause) -> Option<String> {
    let operation = case.operation();
    let word = operation.split(' ').next().unwrap_or_default();
    let connects = ["connect", "close", "sio_connect", "sio_close"].contains(&word);
    (connects && matches!(cause, Cause::Unknown | Cause::Connection | Cause::Listener)).then(|| {
        "it comes with connections, and all of ours were closed before the snapshot".to_owned()
    })
}
