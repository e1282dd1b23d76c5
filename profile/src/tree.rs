//! The stacks of all threads as one tree, and functions with their times.

use std::collections::{HashMap, HashSet};

use cwasm::{FrameKind, Profile};

/// A function, where it was called by the same functions.
#[derive(Debug)]
pub(crate) struct Node<'p> {
    pub(crate) name: &'p str,
    pub(crate) kind: FrameKind,
    /// Nanoseconds in it and in what it calls.
    pub(crate) total: u64,
    /// Nanoseconds in it alone.
    pub(crate) own: u64,
    /// What it calls: places in the tree, by name.
    pub(crate) callees: Vec<usize>,
}

/// The tree: the first node is all.
pub(crate) fn tree(profile: &Profile) -> Vec<Node<'_>> {
    let mut nodes = vec![node("all", FrameKind::Glue)];
    // By caller and function.
    let mut known: HashMap<(usize, &str, FrameKind), usize> = HashMap::new();
    for (stack, weight) in weights(profile) {
        let mut frames: Vec<_> = profile.frames_of(stack).collect();
        frames.reverse();
        let mut at = 0;
        nodes[0].total += weight;
        for frame in frames {
            let key = (at, &*frame.name, frame.kind);
            at = *known.entry(key).or_insert_with(|| {
                nodes.push(node(&frame.name, frame.kind));
                let new = nodes.len() - 1;
                nodes[at].callees.push(new);
                new
            });
            nodes[at].total += weight;
        }
        nodes[at].own += weight;
    }
    for at in 0..nodes.len() {
        let mut callees = std::mem::take(&mut nodes[at].callees);
        callees.sort_by_key(|callee| (nodes[*callee].name, *callee));
        nodes[at].callees = callees;
    }
    nodes
}

fn node(name: &str, kind: FrameKind) -> Node<'_> {
    Node {
        name,
        kind,
        total: 0,
        own: 0,
        callees: Vec::new(),
    }
}

/// Nanoseconds of each stack that has samples.
fn weights(profile: &Profile) -> Vec<(u32, u64)> {
    let mut weights: HashMap<u32, u64> = HashMap::new();
    for sample in profile.threads.iter().flat_map(|thread| &thread.samples) {
        *weights.entry(sample.stack).or_default() += sample.weight;
    }
    let mut weights: Vec<_> = weights.into_iter().collect();
    weights.sort_unstable();
    weights
}

/// A function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'p> {
    pub(crate) name: &'p str,
    pub(crate) kind: FrameKind,
    /// Nanoseconds in it and in what it calls, each counted once where it calls itself.
    pub(crate) total: u64,
    /// Nanoseconds in it alone.
    pub(crate) own: u64,
}

/// All functions, those first that take most time themselves.
pub(crate) fn functions(profile: &Profile) -> Vec<Function<'_>> {
    let mut times: HashMap<(&str, FrameKind), (u64, u64)> = HashMap::new();
    for (stack, weight) in weights(profile) {
        let mut seen = HashSet::new();
        for (depth, frame) in profile.frames_of(stack).enumerate() {
            let key = (&*frame.name, frame.kind);
            let (total, own) = times.entry(key).or_default();
            if depth == 0 {
                *own += weight;
            }
            if seen.insert(key) {
                *total += weight;
            }
        }
    }
    let functions = times.into_iter();
    let mut functions: Vec<_> = functions
        .map(|((name, kind), (total, own))| Function {
            name,
            kind,
            total,
            own,
        })
        .collect();
    functions.sort_by(|a, b| (b.own, b.total, a.name).cmp(&(a.own, a.total, b.name)));
    functions
}
