//! Random graphs as bodies: of an `If`, and of loops whose states change with every iteration. The plans are proved by the
//! checker and run against the evaluator, as they are and optimised.

use arbitrary::Unstructured;
use sofie_infer_compiler::ir::random::{cases, compare, inputs};
use sofie_infer_compiler::ir::{
    Branches, Builder, Graph, Invalid, Op, Repeat, Shape, Tensor, ValueId, eval, verify,
};
use sofie_infer_compiler::passes;
use sofie_infer_compiler::plan::{Plan, Root, check, execute, plan};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use std::cell::Cell;

/// The nodes of `g` over `operands`, and what its outputs are.
fn inline(b: &mut Builder, g: &Graph, operands: &[ValueId]) -> Result<Vec<ValueId>, Invalid> {
    let mut map: Vec<Option<ValueId>> = vec![None; g.values().len()];
    for (port, v) in g.inputs().iter().zip(operands) {
        map[port.value.index()] = Some(*v);
    }
    for node in g.nodes() {
        let inputs: Vec<_> = node.inputs.iter().map(|v| map[v.index()].unwrap()).collect();
        for (old, new) in node.outputs.iter().zip(b.push(node.op.clone(), &inputs)?) {
            map[old.index()] = Some(new);
        }
    }
    Ok(g.outputs().iter().map(|o| map[o.value.index()].unwrap()).collect())
}

fn copied(b: &mut Builder, g: &Graph) -> Vec<ValueId> {
    let ports = g.inputs().iter();
    ports.map(|p| b.input(&p.name, g.dtype(p.value), g.shape(p.value).clone())).collect()
}

/// `condition ? g : ones`, beside what else reads the operands.
fn choice(g: &Graph) -> Result<Graph, Invalid> {
    let mut ones = Builder::new();
    copied(&mut ones, g);
    for o in g.outputs() {
        let (dtype, dims) = (g.dtype(o.value), g.shape(o.value).fixed().unwrap());
        let v = ones.tensor(Tensor::filled(Scalar::from_f64(dtype, 1.0), &dims));
        ones.output(&o.name, v);
    }
    let mut b = Builder::new();
    let condition = b.input("condition", DType::Bool, Shape::default());
    let mut operands = vec![condition];
    operands.extend(copied(&mut b, g));
    let op = Op::If(Box::new(Branches { then: g.clone(), otherwise: ones.finish() }));
    for (k, v) in b.push(op, &operands)?.into_iter().enumerate() {
        b.output(&format!("y{k}"), v);
    }
    // Operands are there after the bodies as before.
    if let Some(v) = operands.get(1).filter(|v| b.dtype(**v).is_float()) {
        let v = b.unary(Unary::Neg, *v)?;
        b.output("operand", v);
    }
    Ok(b.finish())
}

/// How a state goes on, exactly, so that it stays in the range that the graph was made for.
fn next(b: &mut Builder, v: ValueId) -> Result<ValueId, Invalid> {
    match b.dtype(v) {
        DType::Bool => b.unary(Unary::Not, v),
        t if t.is_float() => b.unary(Unary::Neg, v),
        _ => Ok(v),
    }
}

/// Over and over: inputs that are floats or bools turn, outputs are rows, and the last of each are states.
fn repeated(g: &Graph, most: i64, counted: bool, ends: bool) -> Result<Graph, Invalid> {
    let turns = |v: ValueId| g.dtype(v).is_float() || g.dtype(v) == DType::Bool;
    let mut body = Builder::new();
    let i = body.input("i", DType::I64, Shape::default());
    let (mut states, mut seen) = (Vec::new(), Vec::new());
    let mut operands = vec![None; g.inputs().len()];
    for (k, p) in g.inputs().iter().enumerate().filter(|(_, p)| turns(p.value)) {
        let v = body.input(&p.name, g.dtype(p.value), g.shape(p.value).clone());
        operands[k] = Some(v);
        states.push((k, v));
    }
    let last: Vec<ValueId> = g
        .outputs()
        .iter()
        .map(|o| body.input(&format!("last {}", o.name), g.dtype(o.value), g.shape(o.value).clone()))
        .collect();
    for (k, p) in g.inputs().iter().enumerate().filter(|(_, p)| !turns(p.value)) {
        operands[k] = Some(body.input(&p.name, g.dtype(p.value), g.shape(p.value).clone()));
        seen.push(k);
    }
    let operands: Vec<ValueId> = operands.into_iter().flatten().collect();
    let results = inline(&mut body, g, &operands)?;
    if ends {
        let two = body.scalar(1i64);
        let go = body.binary(Binary::Lt, i, two)?;
        body.output("go", go);
    }
    for (k, v) in &states {
        let v = next(&mut body, *v)?;
        body.output(&format!("state {k}"), v);
    }
    for (k, v) in results.iter().enumerate() {
        body.output(&format!("last {k}"), *v);
    }
    // Rows are what the states were, so that what a state holds is read after the graph has run.
    for (k, v) in last.iter().enumerate() {
        body.output(&format!("row {k}"), *v);
    }
    let mut b = Builder::new();
    let outer = copied(&mut b, g);
    let mut operands = Vec::new();
    if counted {
        operands.push(b.input("trips", DType::I64, Shape::default()));
    }
    if ends {
        operands.push(b.input("go", DType::Bool, Shape::default()));
    }
    operands.extend(states.iter().map(|(k, _)| outer[*k]));
    for o in g.outputs() {
        let (dtype, dims) = (g.dtype(o.value), g.shape(o.value).fixed().unwrap());
        operands.push(b.tensor(Tensor::filled(Scalar::from_f64(dtype, 1.0), &dims)));
    }
    operands.extend(seen.iter().map(|k| outer[*k]));
    let states = states.len() + last.len();
    let op = Op::Loop(Box::new(Repeat { body: body.finish(), states, most, counted, ends }));
    for (k, v) in b.push(op, &operands)?.into_iter().enumerate() {
        b.output(&format!("y{k}"), v);
    }
    if let Some(v) = outer.first().filter(|v| b.dtype(**v).is_float()) {
        let v = b.unary(Unary::Neg, *v)?;
        b.output("operand", v);
    }
    Ok(b.finish())
}

/// Rows behind those that were made mean nothing.
fn cut(mut results: Vec<Tensor>, graph: &Graph) -> Vec<Tensor> {
    let Some((op, node)) = graph.nodes().iter().find_map(|n| match &n.op {
        Op::Loop(l) => Some((l, n)),
        _ => None,
    }) else {
        return results;
    };
    let at = |v: ValueId| graph.outputs().iter().position(|o| o.value == v);
    let Some(n) = node.outputs.last().and_then(|v| at(*v)).and_then(|i| results[i].to_ints()) else {
        return results;
    };
    for v in &node.outputs[op.states..node.outputs.len() - 1] {
        if let Some(i) = at(*v) {
            results[i] = results[i].cut(0, n[0] as usize);
        }
    }
    results
}

fn runs_as_planned(graph: &Graph, u: &mut Unstructured) -> Result<bool, String> {
    verify(graph).map_err(|e| e.to_string())?;
    let Ok(planned) = plan(graph) else { return Ok(false) };
    check::check(graph, &planned).map_err(|e| format!("the checker: {e}\n{graph}"))?;
    let inputs = inputs(graph, u);
    let expected = cut(eval::run(graph, &inputs).map_err(|e| e.to_string())?, graph);
    let actual = cut(execute::execute(&planned, &inputs).map_err(|e| e.to_string())?, graph);
    let coarse = |g: &Graph| g.values().iter().any(|v| v.dtype.is_float() && v.dtype.size() == 2);
    let coarse = graph.nodes().iter().flat_map(|n| n.op.bodies()).any(coarse);
    for (port, (a, b)) in graph.outputs().iter().zip(actual.iter().zip(&expected)) {
        compare(a, b, if coarse { 5e-2 } else { 1e-4 })
            .map_err(|e| format!("output {:?}: {e}\n{graph}", port.name))?;
    }
    Ok(true)
}

fn each(wrap: impl Fn(&Graph, &mut Unstructured) -> Result<Graph, Invalid>) {
    let (all, planned) = (Cell::new(0), Cell::new(0));
    cases(400, |g, u| {
        if !g.symbols().is_empty() || g.values().iter().any(|v| v.shape.fixed().is_none()) {
            return Ok(());
        }
        let graph = wrap(g, u).map_err(|e| e.to_string())?;
        all.set(all.get() + 1);
        planned.set(planned.get() + usize::from(runs_as_planned(&graph, u)?));
        let optimised = passes::optimize(graph, None).map_err(|e| e.to_string())?;
        runs_as_planned(&optimised, u).map(drop)
    });
    assert!(planned.get() * 2 > all.get() && all.get() > 100, "{planned:?} of {all:?} planned");
}

#[test]
fn one_of_two_bodies_runs_as_planned() {
    each(|g, _| choice(g));
}

#[test]
fn a_body_runs_over_and_over_as_planned() {
    each(|g, u| {
        let most = u.int_in_range(0..=4).unwrap_or(2);
        let flags = u.int_in_range(0..=3).unwrap_or(0);
        repeated(g, most, flags & 1 != 0, flags & 2 != 0)
    });
}

#[test]
fn bodies_hold_bodies() {
    each(|g, u| repeated(&choice(g)?, u.int_in_range(1..=3).unwrap_or(2), false, false));
    // Every row is made: inside a body nobody cuts them.
    each(|g, u| choice(&repeated(g, u.int_in_range(0..=3).unwrap_or(2), false, false)?));
}

/// A loop of two states over one value, and its plan.
fn pair() -> (Graph, Plan) {
    let mut body = Builder::new();
    body.input("i", DType::I64, Shape::default());
    let [a, b, x] = ["a", "b", "x"].map(|n| body.input(n, DType::F32, Shape::of(&[8])));
    let sum = body.binary(Binary::Add, a, x).unwrap();
    let product = body.binary(Binary::Mul, b, sum).unwrap();
    // The states change places.
    body.output("a", product);
    body.output("b", sum);
    let mut g = Builder::new();
    let [a, b, x] = ["a", "b", "x"].map(|n| g.input(n, DType::F32, Shape::of(&[8])));
    let x = g.unary(Unary::Exp, x).unwrap();
    let op = Repeat { body: body.finish(), states: 2, most: 3, counted: false, ends: false };
    let y = g.push(Op::Loop(Box::new(op)), &[a, b, x]).unwrap();
    g.output("y", y[0]);
    g.output("z", y[1]);
    let graph = g.finish();
    let plan = plan(&graph).unwrap();
    check::check(&graph, &plan).unwrap();
    (graph, plan)
}

fn refused(change: impl Fn(&mut sofie_infer_compiler::plan::Loop)) -> String {
    use sofie_infer_compiler::plan::Kernel;
    let (graph, mut plan) = pair();
    let at = plan.steps.iter().position(|s| matches!(s.kernel, Kernel::Loop(_))).unwrap();
    if let Kernel::Loop(k) = &mut plan.steps[at].kernel {
        change(k);
    }
    check::check(&graph, &plan).unwrap_err().to_string()
}

#[test]
fn the_checker_follows_bodies() {
    // Nothing is moved to the states.
    assert!(refused(|k| k.body.steps.truncate(k.body.steps.len() - 1)).contains("should hold"));
    // A state is written before the other is computed.
    assert!(refused(|k| k.body.steps.rotate_right(1)).contains("holds"));
    // A body reads what it is not given.
    assert!(refused(|k| drop(k.body.inputs.remove(3))).contains("holds nothing"));
    // Something is written that the step does not say.
    let elsewhere = refused(|k| {
        let outside = k.body.inputs[3].clone();
        let step = k.body.steps.last_mut().unwrap();
        assert!(matches!(outside.root, Root::Buffer(_)));
        step.writes[0] = outside;
    });
    assert!(elsewhere.contains("its step does not"), "{elsewhere}");
}
