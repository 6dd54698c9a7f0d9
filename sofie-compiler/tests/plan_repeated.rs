//! Kernels that read rows, over rows that share memory: one row repeated, windows that overlap, operands that are one value.
//! Some kernels can read such a view as it lies, and others must be given a copy.

use sofie_infer_compiler::ir::{
    Builder, Conv, ConvTranspose, Dim, Epilogue, Graph, Invalid, Op, Pool, PoolKind, ReduceKind, RowKind,
    Shape, Tensor, ValueId, Window, eval, random::compare,
};
use sofie_infer_compiler::plan::{check, execute, plan};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

const IMAGE: [usize; 4] = [2, 5, 4, 3];

fn window() -> Window {
    Window {
        kernel: vec![3, 2],
        strides: vec![2, 1],
        dilations: vec![1, 1],
        pads_begin: vec![1, 0],
        pads_end: vec![0, 1],
    }
}

fn weights(b: &mut Builder, dims: &[usize]) -> ValueId {
    let numbers: Vec<f32> = (0..dims.iter().product()).map(|i: usize| (i % 7) as f32 - 2.5).collect();
    b.tensor(Tensor::of(dims, &numbers))
}

/// The graph of `read` over an image whose pixels are all the input's three channels.
fn repeated(read: impl Fn(&mut Builder, ValueId) -> Result<ValueId, Invalid>) -> Result<Graph, Invalid> {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[1, 1, 1, 3]));
    let image = b.broadcast(x, &Shape::of(&IMAGE))?;
    let y = read(&mut b, image)?;
    b.output("y", y);
    Ok(b.finish())
}

fn agrees(read: impl Fn(&mut Builder, ValueId) -> Result<ValueId, Invalid>) -> Result<(), Invalid> {
    computes_the_same(&repeated(read)?, &Tensor::of(&[1, 1, 1, 3], &[0.5f32, -1.25, 2.0]))
}

/// Plan and evaluator, over one input.
fn computes_the_same(graph: &Graph, input: &Tensor) -> Result<(), Invalid> {
    let planned = plan(graph)?;
    check::check(graph, &planned).unwrap();
    let inputs = std::slice::from_ref(input);
    let (expected, actual) = (eval::run(graph, inputs)?, execute::execute(&planned, inputs)?);
    compare(&actual[0], &expected[0], 1e-6).unwrap();
    Ok(())
}

#[test]
fn convolutions() -> Result<(), Invalid> {
    agrees(|b, x| {
        let w = weights(b, &[3, 2, 3, 4]);
        b.one(Op::Conv(Conv::new(window(), 1), Epilogue::NONE), &[x, w])
    })
}

#[test]
fn pointwise_convolutions() -> Result<(), Invalid> {
    agrees(|b, x| {
        let w = weights(b, &[1, 1, 3, 4]);
        let window = Window {
            kernel: vec![1, 1],
            strides: vec![1, 1],
            pads_begin: vec![0, 0],
            pads_end: vec![0, 0],
            ..window()
        };
        b.one(Op::Conv(Conv::new(window, 1), Epilogue::NONE), &[x, w])
    })
}

#[test]
fn transposed_convolutions() -> Result<(), Invalid> {
    agrees(|b, x| {
        let w = weights(b, &[3, 2, 3, 4]);
        let conv = ConvTranspose { window: window(), group: 1, output_padding: vec![0, 0] };
        b.one(Op::ConvTranspose(conv, Epilogue::NONE), &[x, w])
    })
}

#[test]
fn pools() -> Result<(), Invalid> {
    for kind in [PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPads] {
        agrees(|b, x| b.one(Op::Pool(Pool { kind, window: window(), overhang: vec![0, 0] }), &[x]))?;
    }
    Ok(())
}

#[test]
fn the_best_of_rows() -> Result<(), Invalid> {
    agrees(|b, x| Ok(b.push(Op::TopK { k: 2usize.into(), largest: true }, &[x])?[0]))
}

#[test]
fn windows_that_overlap() -> Result<(), Invalid> {
    let input = Tensor::of(&[9, 4], &(0..36).map(|i| (i * 5 % 13) as f32 - 6.0).collect::<Vec<_>>());
    let windows = |read: &dyn Fn(&mut Builder, ValueId) -> Result<ValueId, Invalid>| {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[9, 4]));
        let x = b.one(Op::Windows { axis: 0, count: Dim::Fixed(6), len: Dim::Fixed(4) }, &[x])?;
        let y = read(&mut b, x)?;
        b.output("y", y);
        computes_the_same(&b.finish(), &input)
    };
    windows(&|_, x| Ok(x))?;
    windows(&|b, x| b.unary(Unary::Abs, x))?;
    windows(&|b, x| b.transpose(x, &[1, 2, 0]))?;
    windows(&|b, x| b.one(Op::Rows(RowKind::Softmax), &[x]))?;
    windows(&|b, x| b.one(Op::Reduce(ReduceKind::Sum, vec![1]), &[x]))?;
    windows(&|b, x| {
        let w = weights(b, &[1, 4, 5]);
        b.one(Op::MatMul(Epilogue::NONE), &[x, w])
    })?;
    windows(&|b, x| {
        let x = b.reshape(x, Shape::of(&[2, 3, 4, 4]))?;
        let w = weights(b, &[3, 2, 4, 2]);
        b.one(Op::Conv(Conv::new(window(), 1), Epilogue::NONE), &[x, w])
    })
}

#[test]
fn rows_that_are_their_own_scale_and_bias() -> Result<(), Invalid> {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[7]));
    let x = b.unary(Unary::Exp, x)?;
    let norm = RowKind::LayerNorm { epsilon: 1e-5, scale: true, bias: true };
    let y = b.one(Op::Rows(norm), &[x, x, x])?;
    b.output("y", y);
    let input = Tensor::of(&[7], &[0.5f32, -1.0, 0.25, 2.0, 1.5, -0.5, 0.0]);
    computes_the_same(&b.finish(), &input)
}
