//! Whose code a frame is: the user's own, a library's, the language's, or the allocator's.
//! In: names and paths of frames. Out: a [`Role`].
//! What follows from it is left to `site`. Pure.

use crate::frame::Frame;
use std::sync::LazyLock;

/// Whose code a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// The user's.
    Own,
    /// A library's.
    Library,
    /// Of the language's standard library and runtime.
    Language,
    /// Of the allocator, down to the profiler's own frames.
    Allocator,
    /// Nothing is known but an address.
    Unknown,
}

/// Parts of paths of the languages' own sources.
const LANGUAGE_PATHS: &[&str] =
    &["/lib/rustlib/src/rust/", "/rustc/", "/rust/deps/", "/libgcc/", "/glibc"];

/// The same at the beginning of a path (as remapped or built in).
const LANGUAGE_STARTS: &[&str] = &["library/", "node:", "internal/", "/rustc/", "<"];

/// Parts of paths where package managers keep what they fetched.
const LIBRARY_PATHS: &[&str] = &[
    "/.cargo/registry/",
    "/.cargo/git/",
    "/registry/src/",
    "/git/checkouts/",
    "/node_modules/",
    "/pkg/mod/",
    "/vendor/",
    "/site-packages/",
    "/usr/include/",
];

/// Parts of paths of allocators' sources.
const ALLOCATOR_PATHS: &[&str] =
    &["jemalloc-sys", "/jemallocator-", "/tikv-jemallocator-", "/dhat-", "/mimalloc", "/jemalloc/"];

/// Beginnings of function names of allocators.
static ALLOCATOR_NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    "__rust_ __rustc::__rust_ __rdl_ __rg_ _rjem_ je_ prof_ imalloc \
     ialloc irallo do_rallocx malloc calloc realloc posix_memalign aligned_alloc memalign \
     arena_malloc tcache_alloc runtime.mallocgc runtime.newobject runtime.makeslice \
     runtime.profilealloc runtime.mProf_"
        .split(' ')
        .filter(|name| !name.is_empty())
        .collect()
});

/// Functions of the C library that allocate for their caller or lead to it, for valgrind.
const LIBC_NAMES: &str = "strdup strndup wcsdup asprintf vasprintf getline getdelim open_memstream \
     fmemopen fopen fopen64 fdopen freopen opendir fdopendir scandir getaddrinfo getcwd realpath \
     setlocale newlocale qsort regcomp glob setenv putenv tsearch hcreate start_thread clone \
     clone3 pthread_create dlopen atexit on_exit";

/// Crates that are no user's own, for programs without line tables, where names are all there is.
const KNOWN_CRATES: &str = "std core alloc proc_macro test tokio tokio_util tokio_tungstenite \
     tungstenite hyper hyper_util h2 http http_body http_body_util httparse axum axum_core tower \
     tower_http bytes futures futures_util futures_core futures_channel serde \
     serde_json serde_core hashbrown indexmap parking_lot crossbeam rayon tracing \
     tracing_core tracing_subscriber log mio socket2 rustls ring regex reqwest url \
     rand slab smallvec dashmap prost tonic sqlx flate2 gimli addr2line object \
     rustc_demangle actix actix_web actix_rt async_std smol warp clap moka lru uuid ahash \
     once_cell arc_swap anyhow thiserror chrono time jiff mime matchit memchr aho_corasick \
     regex_automata regex_syntax idna form_urlencoded percent_encoding parking_lot_core lock_api \
     crossbeam_channel crossbeam_queue crossbeam_utils crossbeam_epoch flume async_channel \
     concurrent_queue event_listener async_executor async_io polling actix_http actix_service \
     actix_server actix_router actix_codec sqlx_core diesel redis mongodb bb8 deadpool r2d2 \
     rusqlite native_tls openssl zstd brotli base64 sha2 rand_core getrandom either itertools \
     sharded_slab tracing_log socketioxide engineioxide fastwebsockets quick_cache";

/// Folders of Go's own sources, by which they are told in a program built with `-trimpath`.
const GO_FOLDERS: &str = "archive bufio builtin bytes cmp compress container context crypto \
     database debug embed encoding errors expvar flag fmt go hash html image index internal \
     io iter log maps math mime net os path plugin reflect regexp runtime slices sort strconv \
     strings structs sync syscall testing text time unicode unique unsafe vendor weak";

/// What is known of a frame by its file alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRole {
    /// The user's list names it, where there is a list.
    named: Option<bool>,
    /// By the path; `None` where there is none.
    role: Option<Role>,
    /// A source of C without its folders.
    bare_c: bool,
}

/// Decides whose code a frame is.
#[derive(Debug, Default)]
pub(crate) struct Ownership<'a> {
    own: &'a [String],
    /// The folder of Go's own sources, with a slash at its end; empty in a trimmed program.
    go_root: Option<&'a str>,
}

impl<'a> Ownership<'a> {
    /// Looks for Go's root among the frames; `own` overrules all that is known.
    pub(crate) fn new(own: &'a [String], frames: impl Iterator<Item = &'a Frame>) -> Self {
        let mut go = frames.filter(|frame| frame.function.starts_with("runtime."));
        let go_root = go.find_map(|frame| {
            let at = frame.file.rfind("runtime/").filter(|_| frame.file.ends_with(".go"))?;
            Some(&frame.file[..at])
        });
        Self { own, go_root }
    }

    /// The role of a frame.
    pub(crate) fn role(&self, frame: &Frame) -> Role {
        Self::of_function(&frame.function, self.of_file(&frame.file))
    }

    /// What a file alone says of the functions in it: asked once for all of them.
    pub(crate) fn of_file(&self, file: &str) -> FileRole {
        let named =
            (!self.own.is_empty()).then(|| self.own.iter().any(|prefix| lies_in(file, prefix)));
        let role = (!file.is_empty()).then(|| self.role_by_file(file));
        FileRole { named, role, bare_c: !file.contains('/') && is_c(file) }
    }

    /// The role of a function in a file of which [`Self::of_file`] was told.
    pub(crate) fn of_function(function: &str, file: FileRole) -> Role {
        if is_allocator(function) {
            return Role::Allocator;
        }
        match (file.named, Self::role_by_default(function, file)) {
            (Some(true), _) => Role::Own,
            (Some(false), Role::Own) => Role::Library,
            (_, role) => role,
        }
    }

    fn role_by_default(function: &str, file: FileRole) -> Role {
        let Some(role) = file.role else { return role_by_name(function) };
        // valgrind leaves folders out, of the C library's files as well.
        if file.bare_c && is_libc(function) {
            return Role::Language;
        }
        // The probe is linked into the user's program, and may be built from a path.
        if role == Role::Own && krate(function) == "ebbtide_probe" {
            return Role::Library;
        }
        role
    }

    /// The role by the path alone.
    fn role_by_file(&self, file: &str) -> Role {
        let contains = |list: &[&str]| list.iter().any(|part| file.contains(part));
        if LANGUAGE_STARTS.iter().any(|start| file.starts_with(start)) || contains(LANGUAGE_PATHS) {
            return Role::Language;
        }
        if contains(ALLOCATOR_PATHS) {
            return Role::Allocator;
        }
        // Distributions build the C library with relative paths (`csu/../csu/libc-start.c`).
        if !file.starts_with('/') && file.contains('/') && is_c(file) {
            return Role::Language;
        }
        if contains(LIBRARY_PATHS) || is_built_c(file) || file.contains("@v") {
            return Role::Library;
        }
        match self.go_root.filter(|_| file.ends_with(".go") || file.ends_with(".s")) {
            // A trimmed program names its standard library `net/http/server.go`, a module
            // `example.com/name/file.go`.
            Some("") => {
                let first = file.split('/').next().unwrap_or(file);
                let of_go = file.contains('/') && GO_FOLDERS.split(' ').any(|own| own == first);
                if of_go { Role::Language } else { Role::Own }
            }
            Some(root) if file.starts_with(root) => Role::Language,
            _ => Role::Own,
        }
    }
}

fn is_allocator(function: &str) -> bool {
    // Allocators are C's, or the compiler's shims: a path of a user's crate is neither.
    let plain = !function.contains("::") || function.starts_with("__rust");
    function.contains("GlobalAlloc>::")
        || (plain && ALLOCATOR_NAMES.iter().any(|start| function.starts_with(start)))
}

/// The door between Rust's library and a `#[global_allocator]`: what lies behind it allocates for
/// others, even where line tables know it by no more than `alloc` in a file of the user's.
pub(crate) fn is_door(function: &str) -> bool {
    function.starts_with("__rust_") || function.starts_with("__rustc::__rust_")
}

/// A function of the C library that allocates for its caller, or starts a program or thread.
fn is_libc(function: &str) -> bool {
    function.starts_with(['_', '('])
        || LIBC_NAMES.split(' ').any(|name| {
            function.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        })
}

/// Sources that a build script compiled: another language's library.
fn is_built_c(file: &str) -> bool {
    file.contains("/build/") && file.contains("/out/") && is_c(file)
}

fn is_c(file: &str) -> bool {
    [".c", ".h", ".cc", ".cpp", ".S"].iter().any(|end| file.ends_with(end))
}

fn role_by_name(function: &str) -> Role {
    if function.is_empty() || function.starts_with("0x") {
        return Role::Unknown;
    }
    // `(V8 API)`, `(root)`, `(program)`: what V8 did when no function was on its stack.
    if function.starts_with('(') && function.ends_with(')') {
        return Role::Language;
    }
    // A name without a path is another language's, and whose it is cannot be told.
    if !function.contains("::") {
        return Role::Library;
    }
    let (home, of_any_type) = home(function);
    let known = || KNOWN_CRATES.split(' ').any(|known| known == home) || home == "ebbtide_probe";
    match home {
        "std" | "core" | "alloc" => Role::Language,
        // What a library does for any type is where the user's own has been inlined.
        _ if !of_any_type && known() => Role::Library,
        _ => Role::Own,
    }
}

/// The crate of a function. Of `<F as axum::Handler>::call`, where `F` stands for any type, it is
/// the trait's, and so is said.
fn home(function: &str) -> (&str, bool) {
    let first = krate(function);
    let behind = function.split_once(first).map_or("", |(_, behind)| behind);
    match function.split_once(" as ") {
        Some((_, of)) if function.starts_with('<') && !behind.starts_with("::") => {
            (krate(of), true)
        }
        _ => (first, false),
    }
}

/// The first word of a path, inside `<` and `&` as well.
fn krate(function: &str) -> &str {
    let path = function.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    path.find(|c: char| !c.is_alphanumeric() && c != '_').map_or(path, |end| &path[..end])
}

/// `file` begins with `prefix`, or has it as folders inside.
fn lies_in(file: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_start_matches("./");
    if prefix.is_empty() || file.starts_with(prefix) {
        return !file.is_empty();
    }
    let folder = prefix.trim_matches('/');
    file.match_indices(folder).any(|(at, _)| {
        let behind = file.as_bytes().get(at + folder.len());
        at > 0 && file.as_bytes()[at - 1] == b'/' && matches!(behind, Some(b'/') | None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::short_with_crate;

    #[test]
    fn names_alone_tell_whose_code_it_is() {
        for (raw, short, role) in [
            (
                "<alloc::string::String as core::clone::Clone>::clone",
                "<alloc::String as Clone>::clone",
                Role::Language,
            ),
            (
                "<dashmap::DashMap<K,V,S> as dashmap::t::Map<K,V,S>>::_insert",
                "<dashmap::DashMap<K,V,S> as Map<K,V,S>>::_insert",
                Role::Library,
            ),
            (
                "<F as axum::handler::Handler<(M,T1),S>>::call::{{closure}}",
                "<F as axum::Handler<(M,T1),S>>::call::{{closure}}",
                Role::Own,
            ),
            (
                "<[T] as alloc::slice::Concat>::concat",
                "<[T] as alloc::Concat>::concat",
                Role::Language,
            ),
            (
                "<shop::Cart as core::clone::Clone>::clone::h0123456789abcdef",
                "<shop::Cart as Clone>::clone",
                Role::Own,
            ),
            ("<T as shop::Keep>::keep", "<T as shop::Keep>::keep", Role::Own),
            ("<shop::Cart>::add", "shop::Cart::add", Role::Own),
            (
                "hashbrown::map::HashMap<K,V>::insert",
                "hashbrown::map::HashMap<K,V>::insert",
                Role::Library,
            ),
        ] {
            assert_eq!(short_with_crate(raw), short);
            let frame = Frame { function: short.to_owned(), ..Frame::default() };
            assert_eq!(Ownership::default().role(&frame), role, "{short}");
        }
    }
}
