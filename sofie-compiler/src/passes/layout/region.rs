//! The operations that can run in another order of axes together, what each choice costs, and the graph
//! after the choice.

use super::carry::{Carried, Perm, Place, carry, inverse, push_permuted, weights_on_the_left};
use super::flatten;
use super::mincut::{INFINITE, Network, SINK, SOURCE};
use crate::ir::{Graph, Invalid, Node, NodeId, Op, Rewriter, Shape, ValueId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Nodes with the layouts that their values would have.
pub struct Region {
    members: BTreeMap<usize, Carried>,
}

/// Which members run in their new layouts.
pub type Labels = BTreeMap<usize, bool>;

/// The axes that matter of a layout: those of extent 1 lie anywhere.
fn class(perm: &[usize], shape: &Shape) -> Perm {
    perm.iter().copied().filter(|&a| !shape[a].is(1)).collect()
}

fn is_plain(perm: &[usize], shape: &Shape) -> bool {
    class(perm, shape).is_sorted()
}

/// Elements of a value, in eighths: what reads or writes them in another order pays for all or a part.
fn elements(g: &Graph, v: ValueId) -> i64 {
    g.shape(v).dims().iter().fold(1i64, |n, d| n.saturating_mul(d.likely())).min(1 << 40)
}

/// What it costs in eighths of a copy that a node reads an operand in another order than its own. Products
/// of activations take strides, maps and moves read through them, everything else needs a copy.
fn strided_read(g: &Graph, node: &Node) -> i64 {
    match &node.op {
        Op::MatMul(_) if node.inputs.iter().take(2).all(|v| g.constant(*v).is_none()) => 1,
        Op::Attention(_) => 1,
        Op::Map(_) | Op::Concat(_) | Op::Pad { .. } | Op::Gather { .. } | Op::GatherElements(_) => 6,
        _ => 8,
    }
}

/// What a node costs by itself: as it is, or in other layouts.
fn own_cost(g: &Graph, users: &[Vec<NodeId>], n: usize, carried: Option<&Carried>) -> i64 {
    let node = &g.nodes()[n];
    let Some(&y) = node.outputs.first() else { return 0 };
    match &node.op {
        Op::Transpose(_) if carried.is_none() => {
            let readers = users[y.index()].iter().map(|u| strided_read(g, &g.nodes()[u.index()]));
            let output = g.outputs().iter().any(|o| o.value == y);
            let most = readers.chain(output.then_some(8)).max().unwrap_or(0);
            elements(g, y).saturating_mul(most)
        }
        Op::MatMul(_) if weights_on_the_left(g, node, carried.map(|c| c.product)) => 4 * elements(g, y),
        // Elements one by one rather than whole rows.
        Op::Gather { axis, .. } => {
            let shape = g.shape(node.inputs[0]);
            let plain: Perm = (0..shape.rank()).collect();
            let perm = carried.and_then(|c| c.inputs[0].as_ref()).unwrap_or(&plain);
            let by_one = perm.iter().skip_while(|a| *a != axis).skip(1).all(|&a| shape[a].is(1));
            if by_one { 16 * elements(g, y) } else { 0 }
        }
        _ => 0,
    }
}

/// What all nodes cost as they are.
pub fn total_cost(g: &Graph, users: &[Vec<NodeId>]) -> i64 {
    (0..g.nodes().len()).fold(0i64, |sum, n| sum.saturating_add(own_cost(g, users, n, None)))
}

impl Region {
    /// Everything that is connected with node `seed` through operations that can run permuted.
    pub fn grow(g: &Graph, users: &[Vec<NodeId>], seed: usize, carried: Carried) -> Region {
        let mut members = BTreeMap::from([(seed, carried)]);
        let mut queue = VecDeque::from([seed]);
        while let Some(n) = queue.pop_front() {
            let (node, carried) = (&g.nodes()[n], members[&n].clone());
            let mut join = |m: usize, at: Place, perm: &Perm, queue: &mut VecDeque<usize>| {
                if !members.contains_key(&m)
                    && let Some(carried) = carry(g, &g.nodes()[m], at, perm)
                {
                    members.insert(m, carried);
                    queue.push_back(m);
                }
            };
            for (&v, perm) in node.inputs.iter().zip(&carried.inputs) {
                let Some(perm) = perm.as_ref().filter(|p| !is_plain(p, g.shape(v))) else { continue };
                if let Some(p) = g.value(v).producer
                    && let Some(at) = g.nodes()[p.index()].outputs.iter().position(|o| *o == v)
                {
                    join(p.index(), Place::Output(at), perm, &mut queue);
                }
            }
            for (&v, perm) in node.outputs.iter().zip(&carried.outputs) {
                let Some(perm) = perm.as_ref().filter(|p| !is_plain(p, g.shape(v))) else { continue };
                for u in &users[v.index()] {
                    let at = g.nodes()[u.index()].inputs.iter().position(|i| *i == v).unwrap_or(0);
                    join(u.index(), Place::Input(at), perm, &mut queue);
                }
            }
        }
        Region { members }
    }

    /// The layout of a value that a node writes or reads under label 1, if it is not the plain one.
    fn class_of(&self, g: &Graph, n: usize, v: ValueId, at: Place) -> Option<Perm> {
        let carried = self.members.get(&n)?;
        let perm = match at {
            Place::Input(i) => carried.inputs.get(i)?.as_ref()?,
            Place::Output(i) => carried.outputs.get(i)?.as_ref()?,
        };
        let class = class(perm, g.shape(v));
        (!class.is_sorted()).then_some(class)
    }

    /// The labels under which fewer elements are moved than now, if there are such.
    pub fn better(&self, g: &Graph, users: &[Vec<NodeId>]) -> Option<Labels> {
        let mut network = Network::new();
        let vertices: HashMap<usize, usize> = self.members.keys().map(|&n| (n, network.vertex())).collect();
        let mut now = 0i64;
        for (&n, &v) in &vertices {
            let zero = own_cost(g, users, n, None);
            let one = own_cost(g, users, n, Some(&self.members[&n]));
            network.arc(v, SINK, zero);
            network.arc(SOURCE, v, one);
            now = now.saturating_add(zero);
        }
        for v in self.values(g) {
            self.value_costs(g, users, v, &vertices, &mut network);
        }
        let (cost, ones) = network.cut();
        (cost < now).then(|| vertices.iter().map(|(&n, &v)| (n, ones[v])).collect())
    }

    /// The values that a member reads or writes, but for constants.
    fn values(&self, g: &Graph) -> Vec<ValueId> {
        let nodes = self.members.keys().map(|&n| &g.nodes()[n]);
        let mut values: Vec<_> = nodes.flat_map(|n| n.inputs.iter().chain(&n.outputs)).copied().collect();
        values.sort_unstable();
        values.dedup();
        values.retain(|v| g.constant(*v).is_none());
        values
    }

    /// The arcs between who writes a value and who reads it: a value that is needed in two layouts is moved
    /// once for each.
    fn value_costs(
        &self,
        g: &Graph,
        users: &[Vec<NodeId>],
        v: ValueId,
        vertices: &HashMap<usize, usize>,
        network: &mut Network,
    ) {
        let size = elements(g, v);
        let producer = g.value(v).producer.map(|p| p.index());
        let written = producer.and_then(|p| {
            let at = g.nodes()[p].outputs.iter().position(|o| *o == v)?;
            Some((vertices.get(&p).copied()?, self.class_of(g, p, v, Place::Output(at))?))
        });
        // Readers by the layout that they want under label 1, with what a wrong one costs.
        let mut movable: BTreeMap<Perm, Vec<(usize, i64)>> = BTreeMap::new();
        let mut fixed = i64::from(g.outputs().iter().any(|o| o.value == v)) * 8;
        for u in &users[v.index()] {
            let node = &g.nodes()[u.index()];
            let cost = strided_read(g, node);
            for at in (0..node.inputs.len()).filter(|&i| node.inputs[i] == v) {
                match (vertices.get(&u.index()), self.class_of(g, u.index(), v, Place::Input(at))) {
                    (Some(&vertex), Some(class)) => movable.entry(class).or_default().push((vertex, cost)),
                    _ => {
                        let free = |(_, class): &(usize, Perm)| {
                            flatten::absorbs(g, users, u.index(), class, g.shape(v))
                        };
                        if !written.as_ref().is_some_and(free) {
                            fixed = fixed.max(cost);
                        }
                    }
                }
            }
        }
        for (class, readers) in &movable {
            // Written in another layout than they want it under label 1.
            let most = readers.iter().map(|(_, c)| *c).max().unwrap_or(0);
            let from = match (&written, producer) {
                (Some((vertex, c)), _) if c == class => *vertex,
                (None, Some(p)) if flatten::supplies(g, users, p, class, v) => continue,
                _ => SOURCE,
            };
            let moved = network.vertex();
            network.arc(from, moved, size.saturating_mul(most));
            readers.iter().for_each(|(r, _)| network.arc(moved, *r, INFINITE));
        }
        let Some((writer, _)) = written else { return };
        network.arc(SOURCE, writer, size.saturating_mul(fixed));
        let readers: Vec<_> = movable.values().flatten().collect();
        let most = readers.iter().map(|(_, c)| *c).max().unwrap_or(0);
        let moved = network.vertex();
        network.arc(moved, writer, size.saturating_mul(most));
        readers.iter().for_each(|(r, _)| network.arc(*r, moved, INFINITE));
    }

    /// The graph with the members of label 1 in their new layouts.
    pub fn apply(&self, g: &Graph, labels: &Labels) -> Result<Graph, Invalid> {
        let mut moved: HashMap<ValueId, Vec<(Perm, ValueId)>> = HashMap::new();
        let mut at = 0;
        Rewriter::run(g, |r, node| {
            at += 1;
            let n = at - 1;
            let Some(carried) = self.members.get(&n).filter(|_| labels.get(&n) == Some(&true)) else {
                return Ok(None);
            };
            let mut inputs = Vec::new();
            for (&v, perm) in node.inputs.iter().zip(&carried.inputs) {
                inputs.push(match perm {
                    Some(perm) => in_layout(r, &mut moved, v, perm)?,
                    None => r.get(v)?,
                });
            }
            let outputs = push_permuted(&mut r.b, g, node, carried, &inputs)?;
            let mut plain = Vec::new();
            for ((&v, new), perm) in node.outputs.iter().zip(outputs).zip(&carried.outputs) {
                let perm = perm.clone().ok_or_else(|| Invalid::new("a result without a layout"))?;
                plain.push(r.b.transpose(new, &inverse(&perm))?);
                moved.entry(v).or_default().push((perm, new));
            }
            Ok(Some(plain))
        })
    }
}

/// A value in a layout: where it lies so already, else a transpose.
fn in_layout(
    r: &mut Rewriter<'_>,
    moved: &mut HashMap<ValueId, Vec<(Perm, ValueId)>>,
    v: ValueId,
    perm: &Perm,
) -> Result<ValueId, Invalid> {
    let shape = r.old.shape(v).clone();
    let there = moved.get(&v).into_iter().flatten().find(|(p, _)| class(p, &shape) == class(perm, &shape));
    if let Some((_, new)) = there {
        let laid = perm.iter().map(|&a| shape[a].clone()).collect();
        return r.b.reshape(*new, laid);
    }
    let plain = r.get(v)?;
    let new = r.b.transpose(plain, perm)?;
    moved.entry(v).or_default().push((perm.clone(), new));
    Ok(new)
}
