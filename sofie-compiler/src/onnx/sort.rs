//! Nodes in an order in which each follows those whose outputs it reads, inside subgraphs as well.
//! ONNX asks for that order; a few exporters and many hand-made graphs do not keep it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::model::{Graph, Node, TensorName};
use crate::error::{Error, Result};

/// Sorts the nodes of one graph; those that are in order stay as they are.
///
/// # Errors
/// Nodes read each other's outputs in a circle; the message names one of them.
pub(super) fn sort(nodes: Vec<Node>) -> Result<Vec<Node>> {
    let mut producer: HashMap<&TensorName, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        producer.extend(node.outputs.iter().flatten().map(|name| (name, i)));
    }
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waits: Vec<usize> = vec![0; nodes.len()];
    let mut in_order = true;
    for (i, node) in nodes.iter().enumerate() {
        each_read(node, &mut |name| {
            if let Some(&before) = producer.get(name) {
                in_order &= before < i;
                readers[before].push(i);
                waits[i] += 1;
            }
        });
    }
    if in_order {
        return Ok(nodes);
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|i| waits[*i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &reader in &readers[i] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() < nodes.len() {
        let circle = circle(&readers, &waits);
        let names: Vec<String> = circle.iter().take(8).map(|i| nodes[*i].place().to_string()).collect();
        let more = if circle.len() > 8 { ", …" } else { "" };
        let error =
            Error::new(format!("nodes read each other's outputs in a circle: {}{more}", names.join(", ")));
        return Err(match circle.first() {
            Some(first) => error.at_node(&nodes[*first]),
            None => error,
        });
    }
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| nodes[i].take()).collect())
}

/// Every name that a node reads, those that its subgraphs take from outside included.
fn each_read(node: &Node, found: &mut impl FnMut(&TensorName)) {
    node.inputs.iter().flatten().for_each(&mut *found);
    for graph in node.attributes.values().flat_map(|a| a.graphs()) {
        each_read_in(graph, found);
    }
}

fn each_read_in(graph: &Graph, found: &mut impl FnMut(&TensorName)) {
    for node in &graph.nodes {
        node.inputs.iter().flatten().for_each(&mut *found);
        for graph in node.attributes.values().flat_map(|a| a.graphs()) {
            each_read_in(graph, found);
        }
    }
    graph.outputs.iter().for_each(|output| found(&output.name));
}

/// One circle among the nodes that still wait, in the order of reading.
fn circle(readers: &[Vec<usize>], waits: &[usize]) -> Vec<usize> {
    // A node that waits is read from a node that waits, so walking backwards never ends: the first
    // node met again closes a circle.
    let mut before: Vec<Option<usize>> = vec![None; waits.len()];
    for (i, list) in readers.iter().enumerate().filter(|(i, _)| waits[*i] > 0) {
        for &reader in list {
            before[reader] = Some(i);
        }
    }
    let Some(start) = waits.iter().position(|w| *w > 0) else { return Vec::new() };
    let (mut path, mut step) = (vec![start], vec![usize::MAX; waits.len()]);
    step[start] = 0;
    while let Some(next) = path.last().and_then(|last| before[*last]) {
        if step[next] != usize::MAX {
            path.drain(..step[next]);
            path.reverse();
            return path;
        }
        step[next] = path.len();
        path.push(next);
    }
    path
}
