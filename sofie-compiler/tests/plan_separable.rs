//! Depthwise convolutions and the products around them in one step: the bits of the steps in turn, proved by the checker, at
//! fixed and at free extents, and what stays apart.

mod common;

use common::noise::Noise;
use common::plans::{kernels, proved, window};
use sofie_infer_compiler::ir::{
    Builder, Conv, Dim, Epilogue, Extents, Graph, Invalid, Op, Shape, ValueId, Window, eval, random::compare,
};
use sofie_infer_compiler::plan::family::Family;
use sofie_infer_compiler::plan::{check, execute, plan};
use sofie_infer_runtime::{Act, DType};

const SAME: [usize; 5] = [3, 1, 1, 1, 1];
const HALVES: [usize; 5] = [3, 2, 1, 1, 1];

/// Layers of a network with weights of their own.
struct Layers<'b> {
    b: &'b mut Builder,
    noise: Noise,
}

impl Layers<'_> {
    fn tensor(&mut self, dims: &[usize]) -> ValueId {
        let tensor = self.noise.tensor(DType::F32, dims, 0);
        self.b.tensor(tensor)
    }

    fn channels(&self, x: ValueId) -> usize {
        self.b.shape(x).dims()[3].fixed().unwrap() as usize
    }

    fn conv(
        &mut self,
        x: ValueId,
        axis: [usize; 5],
        m: usize,
        group: usize,
        act: Act,
    ) -> Result<ValueId, Invalid> {
        let c = self.channels(x);
        let (w, bias) = (self.tensor(&[axis[0], axis[0], c / group, m]), self.tensor(&[m]));
        let e = Epilogue { bias: true, act, ..Epilogue::NONE };
        self.b.one(Op::Conv(Conv::new(window(axis), group), e), &[x, w, bias])
    }

    fn depthwise(&mut self, x: ValueId, axis: [usize; 5]) -> Result<ValueId, Invalid> {
        let c = self.channels(x);
        self.conv(x, axis, c, c, Act::Clip { lo: 0.0, hi: 6.0 })
    }

    fn product(
        &mut self,
        x: ValueId,
        m: usize,
        act: Act,
        residual: Option<ValueId>,
    ) -> Result<ValueId, Invalid> {
        let c = self.channels(x);
        let (w, bias) = (self.tensor(&[1, 1, c, m]), self.tensor(&[m]));
        let e = Epilogue { bias: true, residual: residual.is_some(), act };
        let operands: Vec<_> = [x, w, bias].into_iter().chain(residual).collect();
        self.b.one(Op::MatMul(e), &operands)
    }
}

fn graph(dims: &[usize], f: impl FnOnce(&mut Layers, ValueId) -> Result<Vec<ValueId>, Invalid>) -> Graph {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(dims));
    let ys = f(&mut Layers { b: &mut b, noise: Noise(0x9e37_79b9) }, x).unwrap();
    for (i, y) in ys.into_iter().enumerate() {
        b.output(&format!("y{i}"), y);
    }
    b.finish()
}

#[test]
fn one_step_gives_the_bits_of_its_layers() {
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let axes = [SAME, HALVES, [5, 1, 1, 2, 2], [5, 2, 1, 1, 2], [3, 1, 2, 2, 2], [2, 3, 1, 0, 1]];
    for i in 0..48 {
        let axis = axes[i % axes.len()];
        // Some of several strips.
        let wide = if i % 3 == 0 { 500 } else { 40 };
        let dims = [1 + noise.below(2), 9 + noise.below(30), 9 + noise.below(30), 3 + noise.below(9)];
        let (before, behind) = (i % 4 != 1, i % 4 != 2);
        let shortcut = axis == SAME && behind && i % 8 != 0;
        let build = |apart: bool| {
            graph(&dims, |l, x| {
                let mut made = Vec::new();
                let wide = if before { wide } else { dims[3] };
                let y = if before { l.product(x, wide, Act::Silu, None)? } else { x };
                let z = l.depthwise(y, axis)?;
                made.extend([y, z]);
                let z = if behind { l.product(z, dims[3], Act::None, shortcut.then_some(x))? } else { z };
                made.retain(|&v| apart && v != z && v != x);
                made.insert(0, z);
                Ok(made)
            })
        };
        let (one, apart) = (build(false), build(true));
        let (one_plan, apart_plan) = (proved(&one), proved(&apart));
        assert_eq!(kernels(&one_plan), ["Separable"], "{dims:?} {axis:?}");
        assert!(!kernels(&apart_plan).contains(&"Separable"), "{dims:?} {axis:?}");
        assert!(wide < 100 || !before || one_plan.arena_bytes < apart_plan.arena_bytes, "{dims:?} {axis:?}");
        let x = [noise.tensor(DType::F32, &dims, 0)];
        let got = execute::execute(&one_plan, &x).unwrap();
        let want = execute::execute(&apart_plan, &x).unwrap();
        assert_eq!(got[0].bytes(), want[0].bytes(), "{dims:?} {axis:?}");
        compare(&got[0], &eval::run(&one, &x).unwrap()[0], 1e-5).unwrap();
    }
}

#[test]
fn what_is_one_step_and_what_stays_apart() {
    type Net<'a> = &'a dyn Fn(&mut Layers, ValueId) -> Result<Vec<ValueId>, Invalid>;
    let steps = |f: Net| kernels(&proved(&graph(&[1, 14, 14, 8], f)));
    let relu = Act::Relu;
    // A network of blocks: the first convolution, and products on either side.
    let mobile = steps(&|l, x| {
        let y = l.conv(x, HALVES, 32, 1, relu)?;
        let y = l.depthwise(y, SAME)?;
        let y = l.product(y, 16, Act::None, None)?;
        let z = l.product(y, 96, relu, None)?;
        let z = l.depthwise(z, SAME)?;
        let z = l.product(z, 16, Act::None, Some(y))?;
        Ok(vec![z])
    });
    assert_eq!(mobile, ["Separable", "Separable"]);
    // Depthwise convolutions and products in turn.
    let turns = steps(&|l, x| {
        let mut y = x;
        for m in [16, 24, 32] {
            y = l.depthwise(y, SAME)?;
            y = l.product(y, m, relu, None)?;
        }
        Ok(vec![y])
    });
    assert_eq!(turns, ["Separable"; 3]);
    let alone = steps(&|l, x| Ok(vec![l.depthwise(x, SAME)?]));
    assert_eq!(alone, ["Conv"]);
    let read_twice = steps(&|l, x| {
        let y = l.product(x, 24, relu, None)?;
        let z = l.depthwise(y, SAME)?;
        let z = l.product(z, 24, Act::None, Some(y))?;
        Ok(vec![z])
    });
    assert_eq!(read_twice, ["Gemm", "Separable"], "the shortcut is what the block would not make");
    let late = steps(&|l, x| {
        let y = l.product(x, 24, relu, None)?;
        // Made behind the block's first layer, read by its last.
        let other = l.product(x, 8, relu, None)?;
        let z = l.depthwise(y, SAME)?;
        Ok(vec![l.product(z, 8, Act::None, Some(other))?])
    });
    assert_eq!(late, ["Separable", "Gemm", "Gemm"]);
    let line = {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[1, 30, 8]));
        let w = b.tensor(Noise(3).tensor(DType::F32, &[3, 1, 8], 0));
        let one = |n: usize| vec![n];
        let window = Window {
            kernel: one(3),
            strides: one(1),
            dilations: one(1),
            pads_begin: one(1),
            pads_end: one(1),
        };
        let y = b.one(Op::Conv(Conv::new(window, 8), Epilogue::NONE), &[x, w]).unwrap();
        let w = b.tensor(Noise(5).tensor(DType::F32, &[1, 8, 4], 0));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[y, w]).unwrap();
        b.output("y", y);
        kernels(&proved(&b.finish()))
    };
    assert_eq!(line, ["Conv", "Gemm"], "one line is not cut");
}

/// Blocks whose results go to their slices of a concat, and weights that come late.
#[test]
fn results_go_to_their_slice_of_a_concat() {
    let dims = [2, 12, 13, 8];
    let graph = graph(&dims, |l, x| {
        let y = l.product(x, 24, Act::Relu, None)?;
        let y = l.depthwise(y, SAME)?;
        let a = l.product(y, 8, Act::None, Some(x))?;
        let c = l.depthwise(x, SAME)?;
        let c = l.product(c, 5, Act::Relu, None)?;
        let w = l.b.input("w", DType::F32, Shape::of(&[3, 3, 1, 8]));
        let d = l.b.one(Op::Conv(Conv::new(window(SAME), 8), Epilogue::NONE), &[x, w])?;
        let d = l.product(d, 7, Act::Relu, None)?;
        Ok(vec![l.b.one(Op::Concat(3), &[a, c, d])?])
    });
    let plan = proved(&graph);
    assert_eq!(kernels(&plan), ["Separable", "Separable", "ConvPack", "Conv", "Gemm"]);
    let mut noise = Noise(3);
    let inputs = [noise.tensor(DType::F32, &dims, 0), noise.tensor(DType::F32, &[3, 3, 1, 8], 0)];
    let (got, want) = (execute::execute(&plan, &inputs).unwrap(), eval::run(&graph, &inputs).unwrap());
    compare(&got[0], &want[0], 1e-5).unwrap();
}

/// What a block reads is another slice of the concat that its result belongs to.
#[test]
fn a_block_does_not_write_between_what_it_reads() {
    let dims = [2, 12, 13, 8];
    for shortcut in [false, true] {
        let graph = graph(&dims, |l, x| {
            let x = l.product(x, 8, Act::Relu, None)?;
            let other = l.product(x, 8, Act::Relu, None)?;
            let from = if shortcut { other } else { x };
            let y = l.product(from, 24, Act::Relu, None)?;
            let y = l.depthwise(y, SAME)?;
            let y = l.product(y, 8, Act::None, shortcut.then_some(x))?;
            Ok(vec![l.b.one(Op::Concat(3), &[x, y])?, other])
        });
        let plan = proved(&graph);
        assert_eq!(kernels(&plan).iter().filter(|&&k| k == "Separable").count(), 1);
        let inputs = [Noise(3).tensor(DType::F32, &dims, 0)];
        let (got, want) = (execute::execute(&plan, &inputs).unwrap(), eval::run(&graph, &inputs).unwrap());
        compare(&got[0], &want[0], 1e-5).unwrap();
        assert!(plan.steps.iter().all(|step| !step.is_interleaved()), "{:?}", plan.steps);
    }
}

#[test]
fn free_extents_have_one_step_too() {
    let (n, h, w) = (Dim::bounded("n", 0, 3), Dim::bounded("h", 2, 24), Dim::bounded("w", 2, 40));
    for axis in [SAME, HALVES] {
        for stem in [false, true] {
            let mut b = Builder::new();
            let x = b.input("x", DType::F32, Shape::new(vec![n.clone(), h.clone(), w.clone(), 6.into()]));
            let mut l = Layers { b: &mut b, noise: Noise(7) };
            let y = if stem {
                l.conv(x, [5, 1, 1, 2, 2], 200, 1, Act::Relu)
            } else {
                l.product(x, 200, Act::Relu, None)
            };
            let y = l.depthwise(y.unwrap(), axis).unwrap();
            let y = l.product(y, 6, Act::None, None).unwrap();
            b.output("y", y);
            let graph = b.finish();
            let family = Family::new(&graph).unwrap();
            assert_eq!(kernels(&family.template), ["Separable"]);
            let mut noise = Noise(11);
            for (n, h, w) in [(0, 2, 2), (1, 2, 3), (2, 9, 2), (1, 24, 40), (3, 17, 31), (1, 3, 40)] {
                let extents: Extents = [("n".into(), n), ("h".into(), h), ("w".into(), w)].into();
                let (here, plan_here) = (graph.at(&extents).unwrap(), family.at(&extents).unwrap());
                check::check(&here, &plan_here).unwrap();
                let x = [noise.tensor(DType::F32, &[n as usize, h as usize, w as usize, 6], 0)];
                let got = execute::execute(&plan_here, &x).unwrap();
                compare(&got[0], &eval::run(&here, &x).unwrap()[0], 1e-5).unwrap();
                let fixed = execute::execute(&plan(&here).unwrap(), &x).unwrap();
                assert_eq!(got[0].bytes(), fixed[0].bytes(), "{n} images of {h} lines of {w}");
            }
        }
    }
}
