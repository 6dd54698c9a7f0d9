//! Convolutions and the poolings behind them in one step: the bits of the two steps, proved by the checker, at fixed and at
//! free extents, and what stays two.

mod common;

use common::noise::Noise;
use common::plans::{kernels, proved, window};
use sofie_infer_compiler::ir::{
    Builder, Conv, Dim, Epilogue, Extents, Graph, Invalid, Op, Pool, PoolKind, Shape, ValueId, eval,
    random::compare,
};
use sofie_infer_compiler::plan::family::Family;
use sofie_infer_compiler::plan::{check, execute, plan};
use sofie_infer_runtime::map::Unary;
use sofie_infer_runtime::{Act, DType};

const KINDS: [PoolKind; 3] = [PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPads];

fn pool(kind: PoolKind, axis: [usize; 5], overhang: usize) -> Op {
    Op::Pool(Pool { kind, window: window(axis), overhang: vec![overhang; 2] })
}

/// A convolution of the image with `m` filters of 5×5.
fn conv(b: &mut Builder, x: ValueId, m: usize, act: Act) -> Result<ValueId, Invalid> {
    let c = b.shape(x).dims()[3].fixed().unwrap() as usize;
    let mut noise = Noise(0x9e37_79b9);
    let (w, bias) = (noise.tensor(DType::F32, &[5, 5, c, m], 0), noise.tensor(DType::F32, &[m], 0));
    let (w, bias) = (b.tensor(w), b.tensor(bias));
    let e = Epilogue { bias: true, act, ..Epilogue::NONE };
    b.one(Op::Conv(Conv::new(window([5, 1, 1, 2, 2]), 1), e), &[x, w, bias])
}

fn graph(dims: &[usize], f: impl FnOnce(&mut Builder, ValueId) -> Result<(), Invalid>) -> Graph {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(dims));
    f(&mut b, x).unwrap();
    b.finish()
}

#[test]
fn one_step_gives_the_bits_of_two() {
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let acts = [Act::None, Act::Relu, Act::Tanh, Act::LeakyRelu { alpha: 0.1 }];
    for (i, kind) in KINDS.into_iter().cycle().take(60).enumerate() {
        // Smaller images are convolved with pixels and filters side by side.
        let dims = [1 + noise.below(2), 20 + noise.below(20), 28 + noise.below(40), 1];
        let (axis, overhang) = match i % 4 {
            0 => ([2, 2, 1, 0, 0], 0),
            1 => ([2, 2, 1, noise.below(2), noise.below(2)], noise.below(2)),
            2 => ([3, 2, 1, noise.below(3), noise.below(3)], noise.below(2)),
            _ => ([2, 3, 2, noise.below(2), 0], noise.below(3)),
        };
        let act = acts[i % acts.len()];
        // Many filters are computed in strips of lines, of which these images have several.
        let m = if i % 5 == 0 { 500 } else { 6 };
        let build = |both: bool| {
            graph(&dims, |b, x| {
                let between = conv(b, x, m, act)?;
                let y = b.one(pool(kind, axis, overhang), &[between])?;
                b.output("y", y);
                if both {
                    b.output("between", between);
                }
                Ok(())
            })
        };
        let (one, two) = (build(false), build(true));
        let (one_plan, two_plan) = (proved(&one), proved(&two));
        assert_eq!(kernels(&one_plan), ["ConvPool"], "{dims:?} {axis:?}");
        assert_eq!(kernels(&two_plan), ["Conv", "Pool"], "{dims:?} {axis:?}");
        let x = [noise.tensor(DType::F32, &dims, 0)];
        let (got, want) =
            (execute::execute(&one_plan, &x).unwrap(), execute::execute(&two_plan, &x).unwrap());
        assert_eq!(got[0].bytes(), want[0].bytes(), "{dims:?} {axis:?} {kind:?} {act:?}");
        compare(&got[0], &eval::run(&one, &x).unwrap()[0], 1e-5).unwrap();
    }
}

#[test]
fn what_stays_two_steps() {
    let halves = || pool(PoolKind::Max, [2, 2, 1, 0, 0], 0);
    let steps = |f: &dyn Fn(&mut Builder, ValueId) -> Result<ValueId, Invalid>| {
        let graph = graph(&[1, 28, 28, 1], |b, x| {
            let y = f(b, x)?;
            b.output("y", y);
            Ok(())
        });
        kernels(&proved(&graph))
    };
    let behind = |op: Op| {
        steps(&move |b, x| {
            let y = conv(b, x, 6, Act::Relu)?;
            b.one(op.clone(), &[y])
        })
    };
    assert_eq!(behind(halves()), ["ConvPool"]);
    assert_eq!(behind(pool(PoolKind::Max, [3, 1, 1, 1, 1], 0)), ["Conv", "Pool"], "a window at every output");
    assert_eq!(behind(pool(PoolKind::Max, [5, 2, 1, 2, 2], 0)), ["Conv", "Pool"], "outputs in three windows");
    let many = |kernel: usize| {
        steps(&|b, x| {
            let first = conv(b, x, 64, Act::Relu)?;
            let w = b.tensor(Noise(5).tensor(DType::F32, &[kernel, kernel, 64, 64], 0));
            let pad = kernel / 2;
            let second = Conv::new(window([kernel, 1, 1, pad, pad]), 1);
            let y = b.one(Op::Conv(second, Epilogue::NONE), &[first, w])?;
            b.one(halves(), &[y])
        })
    };
    assert_eq!(many(5), ["Conv", "ConvPool"]);
    assert_eq!(many(3), ["Conv", "Conv", "Pool"], "sums of tiles, which lie elsewhere in a strip");
    let twice = steps(&|b, x| {
        let y = conv(b, x, 6, Act::Relu)?;
        let (a, c) = (b.one(halves(), &[y])?, b.one(pool(PoolKind::Average, [2, 2, 1, 0, 0], 0), &[y])?);
        b.one(Op::Concat(3), &[a, c])
    });
    assert_eq!(twice, ["Conv", "Pool", "Pool"]);
    let residual = steps(&|b, x| {
        let first = conv(b, x, 6, Act::Relu)?;
        let w = b.tensor(Noise(7).tensor(DType::F32, &[5, 5, 1, 6], 0));
        let e = Epilogue { residual: true, ..Epilogue::NONE };
        let second = b.one(Op::Conv(Conv::new(window([5, 1, 1, 2, 2]), 1), e), &[x, w, first])?;
        b.one(halves(), &[second])
    });
    assert_eq!(residual, ["Conv", "Conv", "Pool"]);
}

#[test]
fn windows_go_to_their_slice_of_a_concat_and_weights_may_come_late() {
    let dims = [2, 27, 30, 1];
    let graph = graph(&dims, |b, x| {
        let y = conv(b, x, 6, Act::Relu)?;
        let a = b.one(pool(PoolKind::Max, [2, 2, 1, 0, 0], 0), &[y])?;
        let w = b.input("w", DType::F32, Shape::of(&[5, 5, 1, 6]));
        let y = b.one(Op::Conv(Conv::new(window([5, 1, 1, 2, 2]), 1), Epilogue::NONE), &[x, w])?;
        let c = b.one(pool(PoolKind::Average, [3, 2, 1, 0, 0], 1), &[y])?;
        let y = b.one(Op::Concat(3), &[a, c])?;
        b.output("y", y);
        Ok(())
    });
    let plan = proved(&graph);
    assert_eq!(kernels(&plan), ["ConvPool", "ConvPack", "ConvPool"]);
    let mut noise = Noise(3);
    let inputs = [noise.tensor(DType::F32, &dims, 0), noise.tensor(DType::F32, &[5, 5, 1, 6], 0)];
    let (got, want) = (execute::execute(&plan, &inputs).unwrap(), eval::run(&graph, &inputs).unwrap());
    compare(&got[0], &want[0], 1e-5).unwrap();
}

/// A convolution between pads enlarges the image by as much as the pooling leaves out, so that both stand side by side.
#[test]
fn windows_are_not_written_between_what_is_read() {
    let graph = graph(&[1, 28, 28, 1], |b, x| {
        let x = b.unary(Unary::Tanh, x)?;
        let w = b.tensor(Noise(7).tensor(DType::F32, &[5, 5, 1, 6], 0));
        let y = b.one(Op::Conv(Conv::new(window([5, 1, 1, 16, 16]), 1), Epilogue::NONE), &[x, w])?;
        let y = b.one(pool(PoolKind::Max, [2, 2, 1, 0, 0], 0), &[y])?;
        let y = b.one(Op::Concat(3), &[x, y])?;
        b.output("y", y);
        Ok(())
    });
    let plan = proved(&graph);
    assert_eq!(kernels(&plan), ["Map", "Conv", "Pool"]);
    assert!(plan.steps.iter().all(|step| !step.is_interleaved()), "{:?}", plan.steps);
}

#[test]
fn free_extents_have_one_step_too() {
    let (n, h) = (Dim::bounded("n", 0, 6), Dim::bounded("h", 1, 40));
    let (halves, shared) = ([2, 2, 1, 1, 1], [3, 2, 1, 1, 1]);
    for (kind, axis, m) in
        [(PoolKind::Max, halves, 6), (PoolKind::Average, shared, 6), (PoolKind::Average, shared, 300)]
    {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::new(vec![n.clone(), h.clone(), 28.into(), 1.into()]));
        let y = conv(&mut b, x, m, Act::Relu).unwrap();
        let y = b.one(pool(kind, axis, 0), &[y]).unwrap();
        b.output("y", y);
        let graph = b.finish();
        let family = Family::new(&graph).unwrap();
        assert_eq!(kernels(&family.template), ["ConvPool"]);
        let mut noise = Noise(11);
        for (n, h) in [(0, 1), (1, 1), (2, 2), (1, 3), (6, 40), (3, 17), (1, 28)] {
            let extents: Extents = [("n".into(), n), ("h".into(), h)].into();
            let (here, plan_here) = (graph.at(&extents).unwrap(), family.at(&extents).unwrap());
            check::check(&here, &plan_here).unwrap();
            let x = [noise.tensor(DType::F32, &[n as usize, h as usize, 28, 1], 0)];
            let got = execute::execute(&plan_here, &x).unwrap();
            compare(&got[0], &eval::run(&here, &x).unwrap()[0], 1e-5).unwrap();
            let fixed = execute::execute(&plan(&here).unwrap(), &x).unwrap();
            assert_eq!(got[0].bytes(), fixed[0].bytes(), "{n} images of {h} lines");
        }
    }
}
