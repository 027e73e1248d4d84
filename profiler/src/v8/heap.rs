//! A V8 heap snapshot (`.heapsnapshot`, `.heaptimeline`) as columns: nodes, edges, strings.
//!
//! In: a reader. Out: a [`Heap`], at a fraction of the file's size: no tree of values is built.
//! The places of the fields come from `snapshot.meta`, for they differ between versions of V8.
//! What the nodes amount to is left to `classes`, `dominators` and `path`.
//!
//! Source: V8 `src/profiler/heap-snapshot-generator.cc`, `HeapSnapshotJSONSerializer`.

use super::scan::{ScanError, Scanner, repeated};
use serde::Deserialize;
use std::io::Read;

/// Nodes at most: 20 bytes each, and their places must fit 32 bits.
pub const NODES_MAX: usize = 500_000_000;

/// Edges at most: 9 bytes each, and their places must fit 32 bits.
pub const EDGES_MAX: usize = 4_000_000_000;

/// Bytes of all nodes together at most: the address space of a process, so that sums of some of
/// them and their differences are numbers as well.
const BYTES_MAX: u64 = 1 << 48;

/// Bytes of all strings together.
const STRINGS_MAX: usize = 16 << 30;

/// Room that is made at once on the word of the file: a count that lies costs no more than this.
const ROOM_MAX: usize = 1 << 20;

/// Room that is made whatever the file says.
const ROOM_MIN: usize = 64;

/// How many times what is there already the word of the file is believed after that.
const ROOM_FACTOR: usize = 16;

/// Bytes of `snapshot.meta` and its like, which are kept as text: some kilobytes.
const HEAD_MAX: usize = 1 << 20;

/// Why a snapshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HeapError {
    /// It is no such snapshot, or broken.
    #[error("not a whole V8 heap snapshot: {0}; take it again")]
    Broken(String),
    /// It is larger than is read.
    #[error("the snapshot has more than {limit} {what}, which is more than can be read")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

impl From<ScanError> for HeapError {
    fn from(error: ScanError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A snapshot of a V8 heap. Nodes are named by their place, from 0, the root.
#[derive(Debug, Default)]
pub struct Heap {
    /// Words for [`Heap::kinds`].
    pub node_types: Vec<String>,
    /// Words for [`Heap::edge_kinds`].
    pub edge_types: Vec<String>,
    /// What each node is.
    pub kinds: Vec<u8>,
    /// Its name, a place in `strings`.
    pub names: Vec<u32>,
    /// What it is called in every snapshot of one process.
    pub ids: Vec<u32>,
    /// Its own bytes.
    pub sizes: Vec<u64>,
    /// Place of each node's first edge; one more than there are nodes.
    pub first_edges: Vec<u32>,
    /// What each edge is.
    pub edge_kinds: Vec<u8>,
    /// Its name: a place in `strings`, or an index for elements and hidden ones.
    pub edge_names: Vec<u32>,
    /// The node it leads to.
    pub edge_targets: Vec<u32>,
    /// All strings.
    pub strings: Strings,
}

/// Strings one after the other.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Strings {
    /// The string at a place; empty when there is none.
    #[must_use]
    pub fn text(&self, place: u32) -> std::borrow::Cow<'_, str> {
        let place = place as usize;
        let Some(end) = self.ends.get(place) else { return "".into() };
        let begin = if place == 0 { 0 } else { self.ends[place - 1] };
        String::from_utf8_lossy(&self.bytes[begin as usize..*end as usize])
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[derive(Deserialize)]
struct Head {
    meta: Meta,
    #[serde(default)]
    node_count: u64,
    #[serde(default)]
    edge_count: u64,
}

#[derive(Deserialize)]
struct Meta {
    node_fields: Vec<String>,
    node_types: Vec<Types>,
    edge_fields: Vec<String>,
    edge_types: Vec<Types>,
}

/// The words of an enumeration, or the kind of a plain field.
#[derive(Deserialize)]
#[serde(untagged)]
enum Types {
    Words(Vec<String>),
    Plain(#[allow(dead_code)] String),
}

impl Heap {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// When it is no snapshot, broken, or too large.
    pub fn read(reader: impl Read) -> Result<Self, HeapError> {
        let mut scanner = Scanner::new(reader);
        let mut heap = Self::default();
        let mut head: Option<Head> = None;
        let mut key = Vec::new();
        let mut seen = (false, false, false);
        scanner.expect(b'{')?;
        loop {
            key.clear();
            scanner.string(&mut key)?;
            scanner.expect(b':')?;
            let again = match key.as_slice() {
                b"snapshot" => head.is_some(),
                b"nodes" => seen.0,
                b"edges" => seen.1,
                b"strings" => seen.2,
                _ => false,
            };
            if again {
                let name = String::from_utf8_lossy(&key).into_owned();
                return Err(scanner.error(format!("`{name}` is there twice")).into());
            }
            match (key.as_slice(), &head) {
                (b"snapshot", _) => head = Some(read_head(&mut scanner)?),
                (b"nodes", Some(head)) => {
                    heap.read_nodes(&mut scanner, head)?;
                    seen.0 = true;
                }
                (b"edges", Some(head)) => {
                    heap.read_edges(&mut scanner, head)?;
                    seen.1 = true;
                }
                (b"strings", _) => {
                    heap.strings = read_strings(&mut scanner)?;
                    seen.2 = true;
                }
                (b"nodes" | b"edges", None) => {
                    return Err(scanner.error("its nodes come before their description").into());
                }
                _ => scanner.skip()?,
            }
            if !scanner.accept(b',')? {
                scanner.expect(b'}')?;
                break;
            }
        }
        if seen != (true, true, true) {
            return Err(HeapError::Broken("it has no `nodes`, `edges` or `strings`".to_owned()));
        }
        heap.check()?;
        Ok(heap)
    }

    fn read_nodes<R: Read>(
        &mut self,
        scanner: &mut Scanner<R>,
        head: &Head,
    ) -> Result<(), HeapError> {
        let fields = &head.meta.node_fields;
        let place = |name: &str| place_of(fields, name);
        let [kind, name, id, size, edges] = [
            place("type")?,
            place("name")?,
            place("id")?,
            place("self_size")?,
            place("edge_count")?,
        ];
        self.node_types = words(&head.meta.node_types, kind)?;
        self.first_edges.push(0);
        let (mut edge, mut bytes) = (0_u64, 0_u64);
        let whole = scanner.rows(fields.len(), |row| {
            edge = edge.saturating_add(row[edges]);
            bytes = bytes.saturating_add(row[size]);
            if bytes > BYTES_MAX {
                return Err(format!("its nodes have more than {BYTES_MAX} bytes"));
            }
            if self.kinds.len() >= NODES_MAX || edge > EDGES_MAX as u64 {
                return Err(format!("more than {NODES_MAX} nodes or {EDGES_MAX} edges"));
            }
            if self.kinds.len() == self.kinds.capacity() {
                let more = room(self.kinds.len(), head.node_count);
                self.kinds.reserve_exact(more);
                self.names.reserve_exact(more);
                self.ids.reserve_exact(more);
                self.sizes.reserve_exact(more);
                self.first_edges.reserve_exact(more);
            }
            self.kinds.push(u8::try_from(row[kind]).map_err(|_| "an unknown type of node")?);
            self.names.push(small(row[name])?);
            self.ids.push(small(row[id])?);
            self.sizes.push(row[size]);
            self.first_edges.push(small(edge)?);
            Ok(())
        })?;
        if !whole {
            return Err(scanner.error("the last node is not whole").into());
        }
        Ok(())
    }

    fn read_edges<R: Read>(
        &mut self,
        scanner: &mut Scanner<R>,
        head: &Head,
    ) -> Result<(), HeapError> {
        let fields = &head.meta.edge_fields;
        let kind = place_of(fields, "type")?;
        let name = place_of(fields, "name_or_index")?;
        let target = place_of(fields, "to_node")?;
        self.edge_types = words(&head.meta.edge_types, kind)?;
        // Targets are places in the flat array of nodes.
        let width = head.meta.node_fields.len() as u64;
        let whole = scanner.rows(fields.len(), |row| {
            if self.edge_kinds.len() >= EDGES_MAX {
                return Err(format!("more than {EDGES_MAX} edges"));
            }
            if self.edge_kinds.len() == self.edge_kinds.capacity() {
                let more = room(self.edge_kinds.len(), head.edge_count);
                self.edge_kinds.reserve_exact(more);
                self.edge_names.reserve_exact(more);
                self.edge_targets.reserve_exact(more);
            }
            self.edge_kinds.push(u8::try_from(row[kind]).map_err(|_| "an unknown type of edge")?);
            self.edge_names.push(small(row[name])?);
            if !row[target].is_multiple_of(width) {
                return Err("an edge that leads into the middle of a node".to_owned());
            }
            self.edge_targets.push(small(row[target] / width)?);
            Ok(())
        })?;
        if !whole {
            return Err(scanner.error("the last edge is not whole").into());
        }
        Ok(())
    }

    /// Whether the parts fit together, so that nothing behind this need ask again.
    fn check(&self) -> Result<(), HeapError> {
        let broken = |reason: String| Err(HeapError::Broken(reason));
        let (nodes, edges) = (self.kinds.len(), self.edge_kinds.len());
        if nodes == 0 {
            return broken("it has no node".to_owned());
        }
        if self.first_edges.last().copied() != u32::try_from(edges).ok() {
            return broken(format!("its nodes do not have the {edges} edges that are there"));
        }
        if let Some(target) = self.edge_targets.iter().find(|target| **target as usize >= nodes) {
            return broken(format!("an edge leads to node {target} of {nodes}"));
        }
        let kind = self.kinds.iter().max().map_or(0, |kind| usize::from(*kind));
        let edge_kind = self.edge_kinds.iter().max().map_or(0, |kind| usize::from(*kind));
        if kind >= self.node_types.len() || (edges > 0 && edge_kind >= self.edge_types.len()) {
            return broken("a type that its description does not name".to_owned());
        }
        Ok(())
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is no node; never so for one that was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Places of a node's edges.
    #[must_use]
    pub fn edges(&self, node: u32) -> std::ops::Range<usize> {
        let node = node as usize;
        self.first_edges[node] as usize..self.first_edges[node + 1] as usize
    }

    /// The node that an edge leaves.
    pub(super) fn holder_of(&self, edge: u32) -> u32 {
        // Of the nodes that begin there, all but the last have no edge.
        (self.first_edges.partition_point(|first| *first <= edge) - 1) as u32
    }

    /// The number of a type of edges; none when there is none of that name.
    #[must_use]
    pub fn edge_type(&self, name: &str) -> Option<u8> {
        self.edge_types.iter().position(|word| word == name).map(|place| place as u8)
    }

    /// What a node is, in V8's word.
    #[must_use]
    pub fn node_type(&self, node: u32) -> &str {
        &self.node_types[usize::from(self.kinds[node as usize])]
    }
}

/// Room to make for rows, of which so many are there and so many were said to come: each time a
/// list grows it is copied, and its pages are touched anew.
fn room(there: usize, said: u64) -> usize {
    let said = usize::try_from(said).unwrap_or(usize::MAX).saturating_sub(there);
    // A file may say too little as well.
    said.min((there * (ROOM_FACTOR - 1)).max(ROOM_MAX)).max(there).max(ROOM_MIN)
}

fn read_head<R: Read>(scanner: &mut Scanner<R>) -> Result<Head, HeapError> {
    let mut text = Vec::new();
    scanner.copy(&mut text, HEAD_MAX)?;
    serde_json::from_slice(&text)
        .map_err(|error| HeapError::Broken(repeated(&format!("`snapshot`: {error}"))))
}

fn read_strings<R: Read>(scanner: &mut Scanner<R>) -> Result<Strings, HeapError> {
    let mut strings = Strings::default();
    scanner.expect(b'[')?;
    if scanner.accept(b']')? {
        return Ok(strings);
    }
    loop {
        scanner.string(&mut strings.bytes)?;
        strings.ends.push(strings.bytes.len() as u64);
        if strings.bytes.len() > STRINGS_MAX {
            return Err(HeapError::TooLarge { what: "bytes of strings", limit: STRINGS_MAX });
        }
        if !scanner.accept(b',')? {
            scanner.expect(b']')?;
            return Ok(strings);
        }
    }
}

#[inline]
fn small(number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| format!("{number} where V8 writes 32 bits"))
}

fn place_of(fields: &[String], name: &str) -> Result<usize, HeapError> {
    fields
        .iter()
        .position(|field| field == name)
        .ok_or_else(|| HeapError::Broken(format!("`snapshot.meta` has no field `{name}`")))
}

fn words(types: &[Types], place: usize) -> Result<Vec<String>, HeapError> {
    match types.get(place) {
        Some(Types::Words(words)) if words.len() <= 256 => Ok(words.clone()),
        _ => Err(HeapError::Broken("`snapshot.meta` does not name the types".to_owned())),
    }
}
