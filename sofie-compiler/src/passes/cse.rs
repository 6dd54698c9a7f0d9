//! Common subexpressions, constants among them, become one node.

use super::pattern::until_stable;
use crate::ir::{Graph, Invalid, Op, Rewriter, Tensor, ValueId};
use std::collections::HashMap;

/// Bytes of a constant that are part of its key; whole tensors are compared where keys meet.
const PREFIX: usize = 64;

/// What equal nodes have in common. Operations have no hash; their printed form tells them apart but for
/// constants, whose values it leaves out.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Const(Vec<usize>, Vec<u8>),
    Node(String, Vec<ValueId>),
}

fn key(op: &Op, inputs: &[ValueId]) -> Key {
    match op {
        Op::Const(t) => Key::Const(t.dims().to_vec(), t.bytes().iter().take(PREFIX).copied().collect()),
        op => Key::Node(format!("{op:?}"), inputs.to_vec()),
    }
}

/// Keeps the first of equal nodes.
pub fn cse(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let mut seen: HashMap<Key, Vec<Vec<ValueId>>> = HashMap::new();
        Rewriter::run(g, |r, node| {
            // The printed form leaves out constants, those of bodies too.
            if !node.op.bodies().is_empty() {
                return Ok(None);
            }
            let inputs = r.get_all(&node.inputs)?;
            let earlier = seen.entry(key(&node.op, &inputs)).or_default();
            let tensor =
                |v: &[ValueId], r: &Rewriter<'_>| -> Option<Tensor> { r.b.constant(*v.first()?).cloned() };
            let same = earlier.iter().find(|v| match &node.op {
                Op::Const(t) => tensor(v, r).as_ref() == Some(t),
                _ => true,
            });
            if let Some(same) = same {
                return Ok(Some(same.clone()));
            }
            let new = r.b.push(node.op.clone(), &inputs)?;
            earlier.push(new.clone());
            Ok(Some(new))
        })
    })
}
