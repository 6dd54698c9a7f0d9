//! Kernels that read rows, over rows that are one row repeated: a view without a stride of its own, which some
//! kernels can read as it lies and others must be given a copy of.

use sofie_infer_compiler::ir::{
    Builder, Conv, ConvTranspose, Epilogue, Graph, Invalid, Op, Pool, PoolKind, Shape, Tensor, ValueId,
    Window, eval, random::compare,
};
use sofie_infer_compiler::plan::{check, execute, plan};
use sofie_infer_runtime::DType;

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
    let graph = repeated(read)?;
    let planned = plan(&graph)?;
    check::check(&graph, &planned).unwrap();
    let inputs = [Tensor::of(&[1, 1, 1, 3], &[0.5f32, -1.25, 2.0])];
    let (expected, actual) = (eval::run(&graph, &inputs)?, execute::execute(&planned, &inputs)?);
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
