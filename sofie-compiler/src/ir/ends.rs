//! Extents that values decide of nothing but a model's outputs: the outputs get all the room that there can be, and outputs
//! of their own say how many elements there are. So a network of fixed extents stays one, and nothing is placed anew.

use super::graph::Port;
use super::{Graph, Invalid, Op, Rewriter, extent_port};

impl Graph {
    /// The graph whose outputs have room for what values decide, where no other extent is open; else as it is.
    ///
    /// # Errors
    /// A graph that is not valid.
    pub fn with_room(mut self) -> Result<Graph, Invalid> {
        let is_cut = |op: &Op| matches!(op, Op::Cut { .. });
        let symbolic = self.nodes.iter().any(|node| {
            let reads = if is_cut(&node.op) { &node.inputs } else { &node.outputs };
            reads.iter().chain(&node.inputs).any(|v| self.shape(*v).fixed().is_none())
        });
        let inputs = self.inputs.iter().any(|p| self.shape(p.value).fixed().is_none());
        let found = self.found();
        let inside = self.nodes.iter().filter(|n| !is_cut(&n.op));
        let mut inside = inside.filter(|n| found.iter().any(|f| self.mentions(n, &f.symbol.name)));
        if found.is_empty() || symbolic || inputs || inside.next().is_some() {
            return Ok(self);
        }
        let mut counts = Vec::new();
        for i in 0..self.outputs.len() {
            let Some(node) = self.producer(self.outputs[i].value) else { continue };
            if let (Op::Cut { axis, .. }, &[whole, count]) = (&node.op, &node.inputs[..]) {
                counts.push(Port { name: extent_port(i, *axis), value: count });
                self.outputs[i].value = whole;
            }
        }
        self.outputs.extend(counts);
        // Nobody reads what is cut any more, which goes with the rewriting.
        Rewriter::run(&self, |_, _| Ok(None))
    }
}
