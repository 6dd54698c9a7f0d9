//! The random graphs that passes and plans are tested with: they verify, evaluate and cover everything; and no
//! graph that shape inference accepts, however odd, makes the evaluator panic.

use arbitrary::Unstructured;
use sofie_infer_compiler::ir::random::{
    cases, compare, inputs, keeps_meaning, passes_keep_meaning, special_inputs,
};
use sofie_infer_compiler::ir::{
    Dim, Graph, Inst, Invalid, MapExpr, Masking, Op, Rewriter, Shape, Tensor, Window, eval, verify,
};
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::{DType, f16};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

#[test]
fn every_graph_verifies_and_evaluates() {
    cases(1000, |graph, u| {
        verify(graph).map_err(|e| e.to_string())?;
        for inputs in [inputs(graph, u), special_inputs(graph, u)] {
            let outputs = eval::run(graph, &inputs).map_err(|e| e.to_string())?;
            for (port, y) in graph.outputs().iter().zip(&outputs) {
                if (graph.dtype(port.value), graph.shape(port.value)) != (y.dtype(), &y.shape()) {
                    return Err(format!("output {:?} is {y:?}", port.name));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn the_graphs_cover_every_operation_type_and_rank() {
    let seen = RefCell::new(BTreeSet::new());
    cases(2000, |graph, _| {
        let see = |what: String| {
            seen.borrow_mut().insert(what);
        };
        for node in graph.nodes() {
            see(node.op.name().into());
        }
        for v in graph.values() {
            see(v.dtype.to_string());
            see(format!("rank {}", v.shape.rank()));
            if v.shape.dims().iter().any(|d| d.is(0)) {
                see("no elements".into());
            }
        }
        for (n, what) in [(graph.inputs().len(), "inputs"), (graph.outputs().len(), "outputs")] {
            if n > 1 {
                see(format!("several {what}"));
            }
        }
        if graph.use_counts().iter().any(|n| *n > 1) {
            see("shared".into());
        }
        Ok(())
    });
    let expected = "arg_reduce attention bf16 bool broadcast concat const conv conv_transpose f16 f32 f64 gather \
        gather_elements gather_nd i16 i32 i64 i8 interpolate map matmul pad pool recurrent reduce reshape rows scan \
        scatter_elements scatter_nd slice top_k transpose u16 u32 u64 u8";
    let mut expected: BTreeSet<String> = expected.split(' ').map(String::from).collect();
    expected.extend((0..=5).map(|rank| format!("rank {rank}")));
    expected.extend(["no elements", "several inputs", "several outputs", "shared"].map(String::from));
    let seen = seen.into_inner();
    let missing: Vec<_> = expected.difference(&seen).collect();
    assert!(missing.is_empty(), "never made: {missing:?}");
}

#[test]
fn a_copy_keeps_every_bit() {
    passes_keep_meaning(300, |g| Rewriter::run(g, |_, _| Ok(None)), 0.0);
}

/// Every product, sum and row program a little larger than it is, as another order of additions might have it.
fn inflated(g: &Graph) -> Result<Graph, Invalid> {
    Rewriter::run(g, |r, node| {
        let new = r.copy(node)?;
        let rounds = match &node.op {
            Op::Map(e) => e.insts().iter().any(|i| matches!(i, Inst::Binary(Binary::Add | Binary::Mul, ..))),
            Op::Reduce(..) | Op::Scan { .. } | Op::MatMul(_) | Op::Conv(..) => true,
            Op::ConvTranspose(..) | Op::Rows(_) | Op::Recurrent(_) | Op::Attention(_) => true,
            _ => false,
        };
        if !rounds || g.dtype(node.outputs[0]) != DType::F32 {
            return Ok(Some(new));
        }
        let factor = r.b.scalar(1.0 + 4.0 * f32::EPSILON);
        new.into_iter().map(|v| r.b.binary(Binary::Mul, v, factor)).collect::<Result<Vec<_>, _>>().map(Some)
    })
}

#[test]
fn rounding_moves_results_a_little_and_no_more() {
    cases(1000, |graph, u| {
        let inputs = inputs(graph, u);
        let [before, after] = [graph, &inflated(graph).map_err(|e| e.to_string())?]
            .map(|g| eval::run(g, &inputs).map_err(|e| e.to_string()));
        for (a, b) in after?.iter().zip(&before?) {
            compare(a, b, 1e-3)?;
        }
        Ok(())
    });
}

#[test]
fn a_pass_that_changes_the_meaning_is_caught() {
    let (caught, unstable) = (Cell::new(0), Cell::new(0));
    let subtract = |g: &Graph| {
        Rewriter::run(g, |r, node| {
            let Op::Map(e) = &node.op else { return Ok(None) };
            let mut changed = MapExpr::over(e.inputs());
            for inst in e.insts() {
                changed.push(match *inst {
                    Inst::Binary(Binary::Add, a, b) => Inst::Binary(Binary::Sub, a, b),
                    other => other,
                })?;
            }
            let x = r.get_all(&node.inputs)?;
            r.b.push(Op::Map(changed), &x).map(Some)
        })
    };
    cases(200, |graph, u| {
        let different = keeps_meaning(graph, subtract, 1e-3, u).is_err_and(|e| e.contains("expected"));
        caught.set(caught.get() + usize::from(different));
        let grows = keeps_meaning(graph, inflated, 1e-3, u).is_err_and(|e| e.contains("idempotent"));
        unstable.set(unstable.get() + usize::from(grows));
        Ok(())
    });
    assert!(caught.get() > 5 && unstable.get() > 5, "{} and {} of 200", caught.get(), unstable.get());
}

#[test]
fn comparison_knows_nan_infinity_and_scale() {
    let f = |x: &[f32]| Tensor::of(&[x.len()], x);
    let ok = |a: &[f32], b: &[f32], tolerance| compare(&f(a), &f(b), tolerance).is_ok();
    assert!(ok(&[100.0, 1.0], &[100.0, 1.05], 1e-3) && !ok(&[100.0, 1.0], &[100.0, 1.2], 1e-3));
    assert!(ok(&[f32::NAN, f32::INFINITY], &[f32::NAN, f32::INFINITY], 0.0));
    assert!(!ok(&[f32::NAN], &[1.0], 1e9) && !ok(&[1.0], &[f32::NAN], 1e9));
    assert!(!ok(&[f32::INFINITY], &[f32::NEG_INFINITY], 1e9) && !ok(&[1.0], &[f32::INFINITY], 1e9));
    assert!(ok(&[0.0], &[-0.0], 1e-9) && !ok(&[0.0], &[-0.0], 0.0));
    assert!(!ok(&[1.0], &[1.0 + f32::EPSILON], 0.0));
    assert!(compare(&f(&[1.0]), &Tensor::of(&[1], &[1.0f64]), 1.0).is_err());
    assert!(compare(&f(&[1.0]), &Tensor::of(&[1, 1], &[1.0f32]), 1.0).is_err());
    assert!(compare(&Tensor::of(&[2], &[1i64, 2]), &Tensor::of(&[2], &[1i64, 3]), 9.0).is_err());
    let h = |x: f32| Tensor::of(&[1], &[f16::from_f32(x)]);
    assert!(compare(&h(1.0), &h(1.0 + 2f32.powi(-10)), 1e-6).is_ok());
}

/// A number that breaks things, near the old one or far from any.
fn odd(u: &mut Unstructured, n: i64) -> i64 {
    let far = [0, 1, -1, 2, -2, 63, 1 << 31, 1 << 40, i64::MAX, i64::MIN];
    match u.int_in_range(0..=3).unwrap_or(0) {
        0 => n,
        1 => n.saturating_add(u.int_in_range(-2..=2).unwrap_or(0)),
        2 => n.saturating_neg(),
        _ => far[u.int_in_range(0..=far.len() - 1).unwrap_or(0)],
    }
}

fn odd_each<'a, T: TryFrom<i64> + Copy + 'a>(u: &mut Unstructured, list: impl IntoIterator<Item = &'a mut T>)
where
    i64: TryFrom<T>,
{
    for n in list {
        if u.int_in_range(0..=2).unwrap_or(0) == 0 {
            *n = i64::try_from(*n).ok().and_then(|old| T::try_from(odd(u, old)).ok()).unwrap_or(*n);
        }
    }
}

fn odd_dims<'d>(u: &mut Unstructured, dims: impl IntoIterator<Item = &'d mut Dim>) {
    for d in dims {
        if u.int_in_range(0..=2).unwrap_or(0) == 0 {
            *d = Dim::Fixed(odd(u, d.fixed().unwrap_or(1)));
        }
    }
}

fn odd_window(u: &mut Unstructured, w: &mut Window) {
    for list in [&mut w.kernel, &mut w.strides, &mut w.dilations, &mut w.pads_begin, &mut w.pads_end] {
        odd_each(u, list);
    }
}

/// An operation with some of its numbers and flags changed.
fn mutant(op: &Op, u: &mut Unstructured) -> Op {
    let mut op = op.clone();
    let flip = |u: &mut Unstructured, flag: &mut bool| *flag ^= u.int_in_range(0..=3).unwrap_or(0) == 0;
    match &mut op {
        Op::Reduce(_, axes) => odd_each(u, axes),
        Op::ArgReduce { axis, .. } | Op::Scan { axis, .. } => odd_each(u, [axis]),
        Op::Conv(c, e) => {
            odd_window(u, &mut c.window);
            odd_each(u, [&mut c.group]);
            flip(u, &mut e.bias);
        }
        Op::ConvTranspose(c, e) => {
            odd_window(u, &mut c.window);
            odd_each(u, [&mut c.group]);
            odd_each(u, &mut c.output_padding);
            flip(u, &mut e.residual);
        }
        Op::Pool(p) => {
            odd_window(u, &mut p.window);
            odd_each(u, &mut p.overhang);
        }
        Op::Interpolate(axis) => odd_each(u, [axis]),
        Op::Reshape(shape) | Op::Broadcast(shape) => odd_dims(u, shape.dims_mut()),
        Op::Transpose(perm) => odd_each(u, perm),
        Op::Slice { start, step, shape } => {
            odd_dims(u, start);
            odd_each(u, step);
            odd_dims(u, shape.dims_mut());
        }
        Op::Concat(axis) | Op::GatherElements(axis) | Op::ScatterElements(axis, _) => odd_each(u, [axis]),
        Op::Pad { before, after, .. } => {
            odd_dims(u, before);
            odd_dims(u, after);
        }
        Op::Windows { axis, count, len } => {
            odd_each(u, [axis]);
            odd_dims(u, [count, len]);
        }
        Op::Cut { axis, extent } => {
            odd_each(u, [axis]);
            odd_dims(u, std::slice::from_mut(extent));
        }
        Op::Gather { axis, batch } => odd_each(u, [axis, batch]),
        Op::GatherNd { batch } => odd_each(u, [batch]),
        Op::TopK { k, .. } => odd_dims(u, std::slice::from_mut(k)),
        Op::Recurrent(r) => [&mut r.lens, &mut r.h0, &mut r.c0, &mut r.peepholes].map(|f| flip(u, f))[0],
        Op::Attention(a) => a.mask = if a.mask.is_some() { None } else { Some(Masking::Add) },
        Op::MatMul(e) => [&mut e.bias, &mut e.residual].map(|f| flip(u, f))[0],
        Op::Map(_)
        | Op::ScatterNd(_)
        | Op::Rows(_)
        | Op::Const(_)
        | Op::Plain(_)
        | Op::Custom(_)
        | Op::If(_)
        | Op::Loop(_) => {}
    }
    op
}

#[test]
fn nothing_that_inference_accepts_makes_the_evaluator_panic() {
    let evaluated = Cell::new(0);
    cases(3000, |graph, u| {
        let changed = Rewriter::run(graph, |r, node| {
            let mut inputs = r.get_all(&node.inputs)?;
            for v in &mut inputs {
                if u.int_in_range(0..=15).unwrap_or(0) == 15 {
                    *v = r.get(graph.inputs()[0].value)?;
                }
            }
            let op =
                if u.int_in_range(0..=1).unwrap_or(0) == 0 { node.op.clone() } else { mutant(&node.op, u) };
            r.b.push(op, &inputs).map(Some)
        });
        let Ok(changed) = changed else { return Ok(()) };
        if verify(&changed).is_ok() && eval::run(&changed, &inputs(&changed, u)).is_ok() {
            evaluated.set(evaluated.get() + 1);
        }
        Ok(())
    });
    assert!(evaluated.get() > 100, "only {} of the changed graphs could be evaluated", evaluated.get());
}

#[test]
fn no_operation_panics_on_operands_that_it_was_not_made_for() {
    // Each operation of a graph over every kind of operand that the graph has.
    cases(300, |graph, u| {
        let tensors: Vec<Tensor> = graph
            .values()
            .iter()
            .filter_map(|v| Some(Tensor::filled(Scalar::from_f64(v.dtype, 1.0), &v.shape.fixed()?)))
            .collect();
        for node in graph.nodes() {
            let operands: Vec<&Tensor> = node
                .inputs
                .iter()
                .map(|_| &tensors[u.int_in_range(0..=tensors.len() - 1).unwrap_or(0)])
                .collect();
            let shapes: Vec<(DType, Shape)> = operands.iter().map(|t| (t.dtype(), t.shape())).collect();
            let shapes: Vec<(DType, &Shape)> = shapes.iter().map(|(t, s)| (*t, s)).collect();
            let Ok(results) = sofie_infer_compiler::ir::infer(&node.op, &shapes) else { continue };
            let results = results.iter().map(|(t, s)| Some((*t, s.fixed()?))).collect::<Option<Vec<_>>>();
            let _ = results.map(|results| eval::apply(&node.op, &operands, &results));
        }
        Ok(())
    });
}
