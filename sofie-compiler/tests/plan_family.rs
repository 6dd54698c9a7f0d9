//! One plan for all extents, against the plan of each: the checker proves it at small extents, and it computes the
//! very bits of the fixed plan, whose numbers the evaluator confirms. Models of the zoo are skipped where `SOFIE_ZOO`
//! names no folder; `SOFIE_ZOO_MODEL` picks those whose name contains it.

mod common;

use common::noise::Noise;
use sofie_infer_compiler::instance::{self, optimised};
use sofie_infer_compiler::ir::random::compare;
use sofie_infer_compiler::ir::{
    Builder, Conv, Dim, Epilogue, Extents, Graph, Invalid, Op, ReduceKind, RowKind, Shape, Symbol, Tensor,
    Window, eval,
};
use sofie_infer_compiler::ops::DimBounds;
use sofie_infer_compiler::plan::family::Family;
use sofie_infer_compiler::plan::{check, execute, plan};
use sofie_infer_compiler::{Options, onnx, ops, passes};
use sofie_infer_runtime::DType;
use std::path::Path;

/// Extents of one symbol that are tried beyond the least.
const SMALL: i64 = 5;
/// Combinations of extents that are tried.
const COMBINATIONS: usize = 60;

fn inputs(graph: &Graph, noise: &mut Noise) -> Vec<Tensor> {
    let one = |p: &sofie_infer_compiler::ir::Port| {
        noise.tensor(graph.dtype(p.value), &graph.shape(p.value).fixed().unwrap(), 2)
    };
    graph.inputs().iter().map(one).collect()
}

/// Small extents, the least of each symbol among them.
fn small(family: &Family) -> Vec<Extents> {
    let mut all = vec![Extents::new()];
    for s in &family.symbols {
        let mut next = Vec::new();
        for n in s.least..=s.most.min(s.least + SMALL) {
            for extents in &all {
                let mut extents = extents.clone();
                extents.insert(s.name.clone(), n);
                next.push(extents);
            }
        }
        all = next;
    }
    let step = all.len().div_ceil(COMBINATIONS);
    all.into_iter().step_by(step).collect()
}

/// The largest extents, and some between, where plans are run and the evaluator is not.
fn large(family: &Family, noise: &mut Noise) -> Vec<Extents> {
    let mut all = vec![family.corner(true)];
    all.extend((0..3).map(|_| {
        let mut one = |s: &Symbol| s.least + noise.below((s.most - s.least + 1) as usize) as i64;
        family.symbols.iter().map(|s| (s.name.clone(), one(s))).collect()
    }));
    all
}

/// How often the fixed plan gives other bits, of how many; an error where the family is wrong.
fn proved(model: &onnx::Model, bounds: &DimBounds) -> Result<(usize, usize, String), String> {
    let graph = |options: Options| optimised(model, &options).map_err(|e| e.to_string());
    // Files that say 0 where they mean an extent are refused at 0.
    compared(graph(Options { bounds: bounds.clone(), ..Options::default() })?, &|extents| {
        let dims = extents.iter().map(|(name, n)| (name.to_string(), *n as u64)).collect();
        graph(Options { dims, ..Options::default() }).ok()
    })
}

/// As [`proved`] for an optimised graph that `fixed` builds with known extents.
fn compared(
    graph: Graph,
    fixed: &dyn Fn(&Extents) -> Option<Graph>,
) -> Result<(usize, usize, String), String> {
    let start = std::time::Instant::now();
    let family = Family::new(&graph).map_err(|e| format!("family: {e}"))?;
    let took = start.elapsed();
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let (mut other, mut count) = (0, 0);
    let all = small(&family).into_iter().map(|e| (e, true));
    let all: Vec<_> = all.chain(large(&family, &mut noise).into_iter().map(|e| (e, false))).collect();
    for (extents, evaluated) in all {
        let at = |e: String| format!("at {extents:?}: {e}");
        let here = graph.at(&extents).map_err(|e| at(e.to_string()))?;
        let one = family.at(&extents).map_err(|e| at(e.to_string()))?;
        if evaluated && one.arena_bytes < 1 << 22 {
            check::check(&here, &one).map_err(|e| at(format!("check: {e}")))?;
        }
        let given = inputs(&here, &mut noise);
        let got = execute::execute(&one, &given).map_err(|e| at(e.to_string()))?;
        if evaluated {
            let want = eval::run(&graph, &given).map_err(|e| at(format!("evaluator: {e}")))?;
            for ((port, _), (a, b)) in one.outputs.iter().zip(got.iter().zip(&want)) {
                compare(a, b, 1e-4).map_err(|e| at(format!("output {:?}: {e}", port.name)))?;
            }
        }
        let Some(fixed) = fixed(&extents) else { continue };
        let fixed = plan(&fixed).map_err(|e| at(format!("fixed: {e}")))?;
        let want = execute::execute(&fixed, &given).map_err(|e| at(e.to_string()))?;
        count += 1;
        if let Some((a, b)) = got.iter().zip(&want).find(|(a, b)| a.bytes() != b.bytes()) {
            other += 1;
            let (a, b) = (a.to_f64s(), b.to_f64s());
            let most = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0f64, f64::max);
            println!("    other bits at {extents:?}, by {most:.1e}");
        }
    }
    let (steps, arena) = (family.template.steps.len(), family.template.arena_bytes);
    Ok((other, count, format!("{steps} steps, arena {arena}, made in {took:.0?}")))
}

/// Extents that follow from the free ones: a token in front (`n + 1`), every second row (`floor(n / 2) + 1`), the windows of
/// a convolution, scores of all pairs.
fn derived(b: &Dim, n: &Dim) -> Result<Graph, Invalid> {
    let mut g = Builder::new();
    let shape = |dims: &[&Dim]| -> Shape { dims.iter().map(|d| (*d).clone()).collect() };
    let weights = |dims: &[usize]| {
        let values: Vec<f32> =
            (0..dims.iter().product()).map(|i| (i * 37 % 19) as f32 / 19.0 - 0.5).collect();
        Tensor::of(dims, &values)
    };
    let x = g.input("x", DType::F32, shape(&[b, n, &4.into()]));
    let token = g.tensor(weights(&[1, 1, 4]));
    let token = g.broadcast(token, &shape(&[b, &Dim::ONE, &4.into()]))?;
    let all = g.one(Op::Concat(1), &[token, x])?;
    let half = n.floor_div(&2.into())?.add(&Dim::ONE)?;
    let second = Op::Slice {
        start: vec![Dim::Fixed(0); 3],
        step: vec![1, 2, 1],
        shape: shape(&[b, &half, &4.into()]),
    };
    let second = g.one(second, &[all])?;
    let w = g.tensor(weights(&[1, 4, 6]));
    let scored = g.one(Op::MatMul(Epilogue::NONE), &[second, w])?;
    let window = Window {
        kernel: vec![3],
        strides: vec![2],
        dilations: vec![1],
        pads_begin: vec![1],
        pads_end: vec![1],
    };
    let w = g.tensor(weights(&[3, 4, 5]));
    let windows = g.one(Op::Conv(Conv::new(window, 1), Epilogue::NONE), &[all, w])?;
    let turned = g.transpose(all, &[0, 2, 1])?;
    let pairs = g.one(Op::MatMul(Epilogue::NONE), &[all, turned])?;
    let pairs = g.one(Op::Rows(RowKind::Softmax), &[pairs])?;
    let mixed = g.one(Op::MatMul(Epilogue::NONE), &[pairs, all])?;
    let mean = g.one(Op::Reduce(ReduceKind::Mean, vec![1]), &[mixed])?;
    for (name, v) in [("scored", scored), ("windows", windows), ("mean", mean)] {
        g.output(name, v);
    }
    Ok(g.finish())
}

#[test]
fn derived_extents_are_followed() {
    let graph = derived(&Dim::bounded("b", 0, 8), &Dim::bounded("n", 0, 100)).unwrap();
    let graph = passes::optimize(graph, None).unwrap();
    let free = graph.clone();
    let (other, count, text) = compared(graph, &|extents| instance::at(&free, extents).ok()).unwrap();
    println!("{other} of {count} have other bits, {text}");
    assert_eq!((other, count), (0, 40));
}

#[test]
fn what_means_nothing_at_some_extents_is_refused() {
    let refused = |graph: Graph| Family::new(&graph).unwrap_err().to_string();
    let mut g = Builder::new();
    let n = Dim::bounded("n", 0, 50);
    let x = g.input("x", DType::F32, Shape::new(vec![n.clone()]));
    let index = g.tensor(Tensor::of(&[1], &[2i64]));
    let y = g.one(Op::Gather { axis: 0, batch: 0 }, &[x, index]).unwrap();
    g.output("y", y);
    let error = refused(g.finish());
    assert!(error.contains("takes element 2 of an axis of n") && error.contains("n = 0..=50"), "{error}");
    let mut g = Builder::new();
    let less = n.sub(&3.into()).unwrap();
    let x = g.input("x", DType::F32, Shape::new(vec![n]));
    let y = g.slice_axis(x, 0, Dim::Fixed(3), less).unwrap();
    g.output("y", y);
    let error = refused(g.finish());
    assert!(error.contains("n - 3 is negative for some of n = 0..=50"), "{error}");
    let mut g = Builder::new();
    let x = g.input("x", DType::F32, Shape::new(vec![Dim::symbol("m")]));
    g.output("y", x);
    assert!(refused(g.finish()).contains("m has no upper bound"));
}

#[test]
fn zoo_models_with_free_extents() {
    let Some(zoo) = std::env::var_os("SOFIE_ZOO") else { return println!("SOFIE_ZOO is not set: skipped") };
    let zoo = Path::new(&zoo).join("models");
    let only = std::env::var("SOFIE_ZOO_MODEL").unwrap_or_default();
    let mut models: Vec<_> = std::fs::read_dir(&zoo).unwrap().flatten().map(|e| e.path()).collect();
    models.sort();
    let mut wrong = Vec::new();
    for path in models.iter().filter(|p| p.extension().is_some_and(|e| e == "onnx")) {
        let name = path.file_stem().unwrap().to_string_lossy();
        if !name.contains(&only) {
            continue;
        }
        let Ok(model) = onnx::load(path) else { continue };
        let Ok(shapes) = ops::input_shapes(&model, &Default::default()) else { continue };
        let mut bounds = DimBounds::new();
        let symbols = shapes.iter().flat_map(|(_, _, s)| s.dims()).flat_map(|d| d.symbols());
        // Neighbours to choose from, nodes that edges name, a token to classify.
        let least = match () {
            () if name.contains("particlenet") => 8,
            () if ["exatrkx_gnn", "graphnets_epd", "trackin_scatter_add"].contains(&&*name) => 3,
            () if ["bert_tiny_dyn", "gpt2tiny_dyn"].contains(&&*name) => 1,
            () => 0,
        };
        bounds.extend(symbols.map(|s| {
            let least = if s.contains("batch") { 0 } else { least };
            (s.to_string(), (least, Some(64)))
        }));
        if bounds.is_empty() {
            continue;
        }
        match proved(&model, &bounds) {
            Ok((other, count, text)) => {
                println!("{name} {:?}: {other} of {count} have other bits, {text}", bounds.keys());
                if other > 0 {
                    wrong.push(format!("{name}: {other} of {count} have other bits"));
                }
            }
            Err(why) => {
                println!("{name} {:?}: WRONG: {why}", bounds.keys());
                wrong.push(format!("{name}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
