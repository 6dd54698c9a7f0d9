//! A session of free extents gives the bits of the one whose extents are fixed: for random networks over two or three
//! symbols and for the models in `assets/`, at 0, 1, the bounds and extents between, run in this process. Models of the zoo
//! are in `plan_family`.

mod common;

use common::noise::Noise;
use sofie_infer_compiler::instance;
use sofie_infer_compiler::ir::{
    Builder, Conv, Dim, Epilogue, Extents, Graph, Invalid, Op, ReduceKind, RowKind, Shape, Tensor, ValueId,
    Window, verify,
};
use sofie_infer_compiler::ops::DimBounds;
use sofie_infer_compiler::plan::family::Family;
use sofie_infer_compiler::plan::{execute, plan};
use sofie_infer_compiler::{Compiled, Options, compile, passes};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use std::path::Path;

/// Equal bits, any NaN being any other.
fn same_bits(a: &Tensor, b: &Tensor) -> bool {
    let bits = |t: &Tensor| -> Vec<u64> {
        t.to_f64s().iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect()
    };
    (a.dtype(), a.dims()) == (b.dtype(), b.dims()) && (a.bytes() == b.bytes() || bits(a) == bits(b))
}

/// A network over rows `[b, n, c]`, `[b, m, c]` and `[b, 1, c]`, with what graph networks, transformers and taggers do.
struct Network<'a> {
    noise: &'a mut Noise,
    b: Builder,
    /// Values, and which of the middle extents they have.
    rows: Vec<(ValueId, usize)>,
    middle: [Dim; 3],
    index: Option<ValueId>,
    /// Whether there is at least one row, as windows of three need.
    windows: bool,
}

const BOUNDS: [(&str, i64); 3] = [("b", 4), ("n", 19), ("m", 33)];

impl Network<'_> {
    fn weights(&mut self, dims: &[usize]) -> ValueId {
        let t = self.noise.tensor(DType::F32, dims, 1);
        self.b.tensor(t)
    }

    fn any(&mut self) -> (ValueId, usize) {
        let near = self.rows.len().min(4);
        self.rows[self.rows.len() - 1 - self.noise.below(near)]
    }

    fn of(&mut self, middle: usize) -> Option<ValueId> {
        let all: Vec<ValueId> = self.rows.iter().filter(|r| r.1 == middle).map(|r| r.0).collect();
        all.get(self.noise.below(all.len())).copied()
    }

    fn channels(&self, v: ValueId) -> usize {
        self.b.shape(v).dims()[2].fixed().unwrap() as usize
    }

    fn dense(&mut self, x: ValueId, n: usize) -> Result<ValueId, Invalid> {
        let k = self.b.shape(x).dims().last().unwrap().fixed().unwrap() as usize;
        let mut dims = vec![1; self.b.shape(x).rank() - 2];
        dims.extend([k, n]);
        let (w, bias) = (self.weights(&dims), self.weights(&[n]));
        let y = self.b.one(Op::MatMul(Epilogue::NONE), &[x, w])?;
        self.b.binary(Binary::Add, y, bias)
    }

    /// Another node; none where what it needs is not there.
    fn step(&mut self) -> Result<Option<(ValueId, usize)>, Invalid> {
        let (x, at) = self.any();
        let c = self.channels(x);
        let widths = [1, 3, 16, 24, 40];
        let n = widths[self.noise.below(widths.len())];
        Ok(Some(match self.noise.below(13) {
            0 | 1 => {
                let y = self.dense(x, n)?;
                (self.b.unary(Unary::Relu, y)?, at)
            }
            2 | 3 => {
                let (Some(nodes), Some(index)) = (self.of(1), self.index) else { return Ok(None) };
                (self.b.one(Op::Gather { axis: 1, batch: 1 }, &[nodes, index])?, 2)
            }
            4 | 5 => {
                let Some(y) = self.of(at).filter(|_| c < 100) else { return Ok(None) };
                let both = self.b.one(Op::Concat(2), &[x, y])?;
                (self.dense(both, n)?, at)
            }
            6 => {
                let Some(y) = self.of(at).filter(|y| self.channels(*y) == c) else { return Ok(None) };
                let op = [Binary::Add, Binary::Sub, Binary::Mul][self.noise.below(3)];
                (self.b.binary(op, x, y)?, at)
            }
            7 => {
                let Some(row) = self.of(0) else { return Ok(None) };
                let row = self.dense(row, c)?;
                (self.b.binary(Binary::Add, x, row)?, at)
            }
            8 => {
                let kind = [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max][self.noise.below(3)];
                (self.b.one(Op::Reduce(kind, vec![1]), &[x])?, 0)
            }
            9 => {
                // Seen from the other side: results side by side become a run, and back.
                let y = self.b.transpose(x, &[2, 0, 1])?;
                let y = self.b.one(Op::Reduce(ReduceKind::Mean, vec![2]), &[y])?;
                (self.b.transpose(y, &[1, 2, 0])?, 0)
            }
            10 => {
                let turned = self.b.transpose(x, &[0, 2, 1])?;
                let scores = self.b.one(Op::MatMul(Epilogue::NONE), &[x, turned])?;
                let scores = self.b.one(Op::Rows(RowKind::Softmax), &[scores])?;
                (self.b.one(Op::MatMul(Epilogue::NONE), &[scores, x])?, at)
            }
            11 if at > 0 && self.windows => {
                let one = vec![1];
                let window = Window {
                    kernel: vec![3],
                    strides: one.clone(),
                    dilations: one.clone(),
                    pads_begin: one.clone(),
                    pads_end: one,
                };
                let w = self.weights(&[3, c, n]);
                (self.b.one(Op::Conv(Conv::new(window, 1), Epilogue::NONE), &[x, w])?, at)
            }
            12 if at == 1 => {
                // All pairs: what EdgeConv does.
                let [b, n, _] = [0, 1, 2].map(|i| self.b.shape(x).dims()[i].clone());
                let k = Dim::from(c);
                let full: Shape = [b.clone(), n.clone(), n.clone(), k.clone()].into_iter().collect();
                let own =
                    self.b.reshape(x, [b.clone(), n.clone(), Dim::ONE, k.clone()].into_iter().collect())?;
                let other = self.b.reshape(x, [b, Dim::ONE, n, k].into_iter().collect())?;
                let difference = self.b.binary(Binary::Sub, other, own)?;
                let own = self.b.broadcast(own, &full)?;
                let both = self.b.one(Op::Concat(3), &[own, difference])?;
                let both = self.dense(both, 16)?;
                let both = self.b.unary(Unary::Relu, both)?;
                let sum = self.b.one(Op::Reduce(ReduceKind::Sum, vec![2]), &[both])?;
                let shape = self.b.shape(sum).dims();
                let shape = [shape[0].clone(), shape[1].clone(), shape[3].clone()].into_iter().collect();
                (self.b.reshape(sum, shape)?, 1)
            }
            _ => {
                let op = [Unary::Sigmoid, Unary::Tanh, Unary::GeluErf][self.noise.below(3)];
                (self.b.unary(op, x)?, at)
            }
        }))
    }
}

fn network(seed: u64, windows: bool, dim: &dyn Fn(&str) -> Dim) -> Result<Graph, Invalid> {
    let mut noise = Noise(seed);
    let b = Builder::new();
    let middle = [Dim::ONE, dim("n"), dim("m")];
    let mut net = Network { noise: &mut noise, b, rows: Vec::new(), middle, index: None, windows };
    for at in [1, 2, 0] {
        let c = [3, 8, 16][net.noise.below(3)];
        let shape = [dim("b"), net.middle[at].clone(), c.into()].into_iter().collect();
        let x = net.b.input(&format!("x{at}"), DType::F32, shape);
        net.rows.push((x, at));
    }
    let index = [dim("b"), dim("m")].into_iter().collect();
    net.index = Some(net.b.input("index", DType::I64, index));
    for _ in 0..4 + net.noise.below(12) {
        let next = net.step()?;
        net.rows.extend(next);
    }
    let last = net.rows.len() - net.rows.len().min(3);
    for (i, (v, _)) in net.rows.clone().into_iter().enumerate().skip(last) {
        net.b.output(&format!("y{i}"), v);
    }
    Ok(net.b.finish())
}

#[test]
fn random_networks_give_the_bits_of_fixed_extents() {
    let (mut compared, mut moved) = (0, 0);
    for seed in 1..=60u64 {
        let windows = seed % 2 == 0;
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let symbolic = |bounds: &dyn Fn(&str, i64) -> (i64, i64)| {
            let dim = |name: &str| {
                let most = BOUNDS.iter().find(|b| b.0 == name).unwrap().1;
                let (least, most) = bounds(name, most);
                Dim::bounded(name, least, most)
            };
            passes::optimize(network(seed, windows, &dim).unwrap(), None).unwrap()
        };
        let free = symbolic(&|name, most| (i64::from(windows && name != "b"), most));
        moved += free.nodes().iter().filter(|n| matches!(n.op, Op::Gather { .. })).count();
        let family = Family::new(&free).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{free}"));
        let mut noise = Noise(seed | 1);
        let drawn = [(3, 7, 20), (2, 16, 33), (1, 5, 11), (1, 1, 1), (4, 19, 33), (1, 19, 2), (0, 2, 3)];
        let empty = if windows { &[][..] } else { &[(2, 0, 0), (2, 2, 0), (0, 0, 0)] };
        for (b, n, m) in drawn.into_iter().chain([(1, 1, 7), (3, 17, 1)]).chain(empty.iter().copied()) {
            let extents: Extents = [("b", b), ("n", n), ("m", m)].map(|(s, n)| (s.into(), n)).into();
            let fixed = symbolic(&|name, _| (extents[name], i64::from(1 << 20)));
            let fixed = instance::at(&fixed, &extents).unwrap();
            verify(&fixed).unwrap();
            let given: Vec<Tensor> = fixed
                .inputs()
                .iter()
                .map(|p| {
                    let dims = fixed.shape(p.value).fixed().unwrap();
                    noise.tensor(fixed.dtype(p.value), &dims, n as usize)
                })
                .collect();
            let want = execute::execute(&plan(&fixed).unwrap(), &given).unwrap();
            let got = execute::execute(&family.at(&extents).unwrap(), &given).unwrap();
            for (i, (a, b)) in got.iter().zip(&want).enumerate() {
                assert!(same_bits(a, b), "seed {seed}, output {i} at {extents:?}:\n{free}\nfixed:\n{fixed}");
                compared += a.len();
            }
        }
    }
    assert!(compared > 100_000 && moved > 20, "{compared} numbers, {moved} gathers");
}

/// A symbol, the least extent, and the largest.
type Symbol = (&'static str, u64, u64);

/// Models of `assets/` with free symbols.
const MODELS: [(&str, &[Symbol]); 8] = [
    ("hls4ml_mlp_trained", &[("batch", 0, 9)]),
    ("dl1", &[("batch", 0, 9)]),
    ("deepsets_eq_dyn", &[("batch", 0, 5), ("particles", 0, 40)]),
    ("graphnets_epd", &[("n", 1, 30), ("m", 1, 90)]),
    ("particlenet_trained", &[("batch", 0, 3)]),
    ("lenet_mnist", &[("batch", 0, 5)]),
    ("keraslike_gru", &[("batch", 0, 5)]),
    ("rnnip_lstm", &[("batch", 0, 6)]),
];

#[test]
fn assets_give_the_bits_of_fixed_extents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/models");
    let mut noise = Noise(0x1234_5678_9abc_def1);
    for (name, symbols) in MODELS {
        let path = folder.join(format!("{name}.onnx"));
        let model = |options: Options| -> Compiled {
            compile(&path, &path, &options).unwrap_or_else(|f| panic!("{name}: {}", f))
        };
        let bounds: DimBounds =
            symbols.iter().map(|(s, least, most)| (s.to_string(), (*least, Some(*most)))).collect();
        let free = model(Options { bounds, ..Options::default() });
        let closer: DimBounds = symbols.iter().map(|(s, least, _)| (s.to_string(), (*least, None))).collect();
        let open = model(Options { bounds: closer, ..Options::default() });
        for k in 0..7 {
            let pick = |(_, least, most): &Symbol, noise: &mut Noise| match k {
                0 => *least,
                1 => (*least).max(1),
                2 => *most,
                _ => least + noise.below((most - least) as usize) as u64,
            };
            let dims = symbols.iter().map(|s| (s.0.to_string(), pick(s, &mut noise))).collect();
            let fixed = model(Options { dims, ..Options::default() });
            let inputs: Vec<Tensor> = fixed
                .plan
                .inputs
                .iter()
                .map(|p| noise.tensor(p.dtype, &p.dims, symbols[0].1.max(1) as usize))
                .collect();
            let want = fixed.execute(&inputs).unwrap();
            for other in [&free, &open] {
                let got = other.execute(&inputs).unwrap();
                let same = got.iter().zip(&want).all(|(a, b)| same_bits(a, b));
                let dims: Vec<_> = fixed.plan.inputs.iter().map(|p| &p.dims).collect();
                assert!(same, "{name} over {dims:?}");
            }
        }
    }
}
