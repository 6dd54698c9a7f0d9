//! Proves that a graph keeps the contract of this module; run after each pass in debug builds and tests.

use super::{Graph, Invalid, infer};

/// Checks SSA form, topological order, and each node's types and shapes against [`infer`].
///
/// # Errors
/// What is broken, and at which node.
pub fn verify(g: &Graph) -> Result<(), Invalid> {
    let mut written = vec![false; g.values().len()];
    let mut write = |v: super::ValueId, by: String| match written.get_mut(v.index()) {
        None => Err(Invalid::new(format!("{by} writes %{}, which does not exist", v.index()))),
        Some(w) if *w => Err(Invalid::new(format!("{by} writes %{} again", v.index()))),
        Some(w) => {
            *w = true;
            Ok(())
        }
    };
    for input in g.inputs() {
        write(input.value, format!("input {:?}", input.name))?;
        if g.value(input.value).producer.is_some() {
            return Err(Invalid::new(format!("input {:?} has a producer", input.name)));
        }
    }
    let mut seen: Vec<bool> = vec![false; g.values().len()];
    g.inputs().iter().for_each(|i| seen[i.value.index()] = true);
    let mut later = g.found();
    for (i, node) in g.nodes().iter().enumerate() {
        let name = format!("node {i} ({})", node.op.name());
        later.retain(|found| found.node.index() != i);
        if let Some(found) = later.iter().find(|found| g.mentions(node, &found.symbol.name)) {
            let symbol = &found.symbol.name;
            return Err(Invalid::new(format!("{name} has an extent of {symbol}, which is not found yet")));
        }
        let mut operands = Vec::new();
        for v in &node.inputs {
            if seen.get(v.index()) != Some(&true) {
                return Err(Invalid::new(format!("{name} reads %{} before it is written", v.index())));
            }
            operands.push((g.dtype(*v), g.shape(*v)));
        }
        let results = infer(&node.op, &operands).map_err(|e| Invalid::new(format!("{name}: {e}")))?;
        for body in node.op.bodies() {
            verify(body).map_err(|e| Invalid::new(format!("a body of {name}: {e}")))?;
        }
        if results.len() != node.outputs.len() {
            return Err(Invalid::new(format!(
                "{name} has {} results, not {}",
                results.len(),
                node.outputs.len()
            )));
        }
        for (v, (dtype, shape)) in node.outputs.iter().zip(results) {
            write(*v, name.clone())?;
            seen[v.index()] = true;
            let info = g.value(*v);
            if info.producer.map(|p| p.index()) != Some(i) {
                return Err(Invalid::new(format!("%{} does not know that {name} writes it", v.index())));
            }
            if info.dtype != dtype || info.shape != shape {
                let (t, s) = (info.dtype, &info.shape);
                return Err(Invalid::new(format!(
                    "{name}: %{} is {t}{s}, {dtype}{shape} expected",
                    v.index()
                )));
            }
        }
    }
    if let Some(v) = written.iter().position(|w| !w) {
        return Err(Invalid::new(format!("%{v} is written by no node and is no input")));
    }
    for output in g.outputs() {
        if seen.get(output.value.index()) != Some(&true) {
            return Err(Invalid::new(format!("output {:?} is never written", output.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, NodeId, Op, Shape, ValueId};
    use sofie_infer_runtime::DType;
    use sofie_infer_runtime::map::Unary;

    fn chain() -> Graph {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[2, 3]));
        let y = b.unary(Unary::Exp, x).unwrap();
        let z = b.transpose(y, &[1, 0]).unwrap();
        b.output("z", z);
        b.finish()
    }

    fn broken(change: impl FnOnce(&mut Graph)) -> String {
        let mut g = chain();
        verify(&g).unwrap();
        change(&mut g);
        verify(&g).unwrap_err().to_string()
    }

    #[test]
    fn a_broken_graph_is_named() {
        assert!(broken(|g| g.nodes.swap(0, 1)).contains("before it is written"));
        assert!(broken(|g| g.values[1].shape = Shape::of(&[3, 2])).contains("expected"));
        assert!(broken(|g| g.values[1].dtype = DType::F64).contains("expected"));
        assert!(broken(|g| g.nodes[1].op = Op::Transpose(vec![0, 0])).contains("does not permute"));
        assert!(broken(|g| g.nodes[1].outputs[0] = ValueId(1)).contains("again"));
        assert!(broken(|g| g.nodes[1].inputs.clear()).contains("operands"));
        assert!(broken(|g| g.outputs[0].value = ValueId(9)).contains("never written"));
        assert!(broken(|g| g.values[2].producer = None).contains("does not know"));
        assert!(broken(|g| g.values[0].producer = Some(NodeId(0))).contains("has a producer"));
        assert!(broken(|g| g.inputs.clear()).contains("before it is written"));
        assert!(broken(|g| g.inputs.push(g.inputs[0].clone())).contains("again"));
        assert!(broken(|g| g.inputs[0].value = ValueId(7)).contains("does not exist"));
        assert!(broken(|g| g.nodes[0].inputs[0] = ValueId(1)).contains("before it is written"));
        assert!(broken(|g| g.nodes[0].outputs.clear()).contains("has 1 results"));
        assert!(broken(|g| g.nodes[0].outputs.push(ValueId(2))).contains("has 1 results"));
        assert!(broken(|g| g.nodes[1].outputs[0] = ValueId(5)).contains("does not exist"));
        assert!(broken(|g| g.values.push(g.values[0].clone())).contains("no node and is no input"));
    }

    #[test]
    fn an_operation_on_other_types_than_it_was_made_for_is_named() {
        let message = broken(|g| {
            g.values[0].dtype = DType::I32;
            g.values[1].dtype = DType::I32;
        });
        assert!(message.contains("node 0 (map)") && message.contains("i32"), "{message}");
    }
}
