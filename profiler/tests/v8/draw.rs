//! Snapshots as text from a few nodes and edges, in V8's layout.
//!
//! In: a drawing. Out: JSON whose fields stand in another order than V8's, so that a reader that
//! knows them by heart fails. What a heap amounts to is left to the tests.

/// A heap to be written down: nodes by place, the first one the root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawing {
    /// Type (a place in [`NODE_TYPES`]), name, own bytes.
    pub(crate) nodes: Vec<(usize, &'static str, u64)>,
    /// From, to, type (a place in [`EDGE_TYPES`]), name.
    pub(crate) edges: Vec<(usize, usize, usize, &'static str)>,
}

pub(crate) const NODE_TYPES: [&str; 5] = ["hidden", "object", "string", "closure", "synthetic"];
pub(crate) const EDGE_TYPES: [&str; 4] = ["property", "context", "shortcut", "weak"];

impl Drawing {
    /// The snapshot as V8 would write it, but for the order of the fields, which is ours.
    pub(crate) fn text(&self) -> String {
        let mut strings: Vec<&str> = vec!["<dummy>"];
        let mut place = |text: &'static str| {
            strings.iter().position(|known| *known == text).unwrap_or_else(|| {
                strings.push(text);
                strings.len() - 1
            })
        };
        let mut nodes = Vec::new();
        let mut edges = Vec::new();
        for (node, (kind, name, size)) in self.nodes.iter().enumerate() {
            let own: Vec<_> = self.edges.iter().filter(|edge| edge.0 == node).collect();
            let id = 2 * node + 1;
            nodes.push(format!("{id},{},{kind},{size},0,{}", place(name), own.len()));
            for (_, to, kind, name) in own {
                edges.push(format!("{},{kind},{}", to * 6, place(name)));
            }
        }
        let quoted = |words: &[&str]| {
            words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(",")
        };
        format!(
            "{{\"snapshot\":{{\"meta\":{{\"node_fields\":[\"id\",\"name\",\"type\",\"self_size\",\
             \"detachedness\",\"edge_count\"],\"node_types\":[\"number\",\"string\",[{}],\
             \"number\",\"number\",\"number\"],\"edge_fields\":[\"to_node\",\"type\",\
             \"name_or_index\"],\"edge_types\":[\"node\",[{}],\"string_or_number\"]}},\
             \"node_count\":{},\"edge_count\":{}}},\n\"nodes\":[{}],\n\"edges\":[{}],\n\
             \"trace_tree\":[1,0,0,0,[2,1,1,16,[]]],\"samples\":[],\n\"strings\":[{}]}}\n",
            quoted(&NODE_TYPES),
            quoted(&EDGE_TYPES),
            nodes.len(),
            edges.len(),
            nodes.join("\n,"),
            edges.join("\n,"),
            quoted(&strings)
        )
    }
}
