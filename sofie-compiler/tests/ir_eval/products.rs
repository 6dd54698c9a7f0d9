//! Matrix products and convolutions: bit for bit the chains that the graph's contract names, against loops
//! over the definition.

use super::*;
use sofie_infer_compiler::ir::{Conv, ConvTranspose, Epilogue, Window};
use sofie_infer_runtime::{Act, f16};

/// Values that round differently in another order of additions.
fn wave(dims: &[usize], seed: usize) -> Tensor {
    let n: usize = dims.iter().product();
    let x: Vec<f32> = (0..n).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 7.0 - 6.5).collect();
    Tensor::of(dims, &x)
}

#[test]
fn small_products() {
    let (a, b) = (f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2, 1], &[10.0, 1.0]));
    assert_eq!(one(Op::MatMul(Epilogue::NONE), &[&a, &b]), f(&[2, 1], &[12.0, 34.0]));
    let bias = f(&[1, 1], &[0.5]);
    assert_eq!(one(Op::MatMul(Epilogue::BIAS), &[&a, &b, &bias]), f(&[2, 1], &[12.5, 34.5]));
    let all = Epilogue { bias: true, residual: true, act: Act::Relu };
    let residual = f(&[2, 1], &[-100.0, 1.0]);
    assert_eq!(one(Op::MatMul(all), &[&a, &b, &bias, &residual]), f(&[2, 1], &[0.0, 35.5]));
}

#[test]
fn products_are_chains_in_the_order_of_k() {
    // Both sides of every block of the vector loop.
    for (m, k, n) in [(1, 1, 1), (3, 17, 15), (2, 9, 16), (2, 5, 63), (1, 33, 64), (2, 7, 65), (1, 4, 150)] {
        let (a, b, bias) = (wave(&[m, k], 1), wave(&[k, n], 2), wave(&[n], 3));
        let y = floats(&one(Op::MatMul(Epilogue::BIAS), &[&a, &b, &bias]));
        let (a, b, bias) = (floats(&a), floats(&b), floats(&bias));
        for (i, y) in y.iter().enumerate() {
            let (i, j) = (i / n, i % n);
            let chain = (0..k).fold(bias[j], |sum, p| a[i * k + p].mul_add(b[p * n + j], sum));
            assert_eq!(y.to_bits(), chain.to_bits(), "{m}×{k}×{n} at {i}, {j}");
        }
    }
}

#[test]
fn batches_broadcast() {
    let (a, b) = (iota(&[2, 1, 1, 2]), f(&[1, 2, 2, 1], &[1.0, 0.0, 0.0, 1.0]));
    let y = one(Op::MatMul(Epilogue::NONE), &[&a, &b]);
    assert_eq!(y, f(&[2, 2, 1, 1], &[0.0, 1.0, 2.0, 3.0]));
}

#[test]
fn nothing_multiplies_to_the_bias() {
    let y = one(Op::MatMul(Epilogue::BIAS), &[&f(&[2, 0], &[]), &f(&[0, 2], &[]), &f(&[2], &[1.0, 2.0])]);
    assert_eq!(y, f(&[2, 2], &[1.0, 2.0, 1.0, 2.0]));
    let y = one(Op::MatMul(Epilogue::NONE), &[&f(&[0, 3], &[]), &iota(&[3, 2])]);
    assert_eq!(y, f(&[0, 2], &[]));
}

#[test]
fn every_type_has_its_product() {
    let product = Op::MatMul(Epilogue::NONE);
    let y = one(product.clone(), &[&Tensor::of(&[1, 2], &[100i8, 27]), &Tensor::of(&[2, 1], &[2i8, 1])]);
    assert_eq!(y, Tensor::of(&[1, 1], &[-29i8]));
    let y = one(product.clone(), &[&Tensor::of(&[1, 1], &[u64::MAX]), &Tensor::of(&[1, 1], &[u64::MAX])]);
    assert_eq!(y, Tensor::of(&[1, 1], &[1u64]));
    // In f64 the 1 survives beside 2^40; in f16 the sum is made in f32.
    let y = one(
        product.clone(),
        &[&Tensor::of(&[1, 2], &[2f64.powi(40), 1.0]), &Tensor::of(&[2, 1], &[1f64, 1.0])],
    );
    assert_eq!(y, Tensor::of(&[1, 1], &[2f64.powi(40) + 1.0]));
    let h = |dims: &[usize], x: &[f32]| {
        Tensor::of(dims, &x.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>())
    };
    let y = one(product.clone(), &[&h(&[1, 3], &[2048.0, 1.0, 1.0]), &h(&[3, 1], &[1.0; 3])]);
    assert_eq!(y, h(&[1, 1], &[2050.0]));
    let b = Tensor::of(&[1, 1], &[true]);
    assert!(refused(product, &[&b, &b]).contains("bools"));
    let relu = Op::MatMul(Epilogue { act: Act::Relu, ..Epilogue::NONE });
    assert!(refused(relu, &[&i(&[1, 1], &[1]), &i(&[1, 1], &[1])]).contains("integers"));
}

#[test]
fn activations_keep_nan_and_their_bounds() {
    let act = |act, x: f32| {
        let op = Op::MatMul(Epilogue { act, ..Epilogue::NONE });
        floats(&one(op, &[&f(&[1, 1], &[x]), &f(&[1, 1], &[1.0])]))[0]
    };
    let kinds = [
        (Act::None, -2.0, -2.0),
        (Act::Relu, -2.0, 0.0),
        (Act::LeakyRelu { alpha: 0.5 }, -2.0, -1.0),
        (Act::LeakyRelu { alpha: 0.5 }, 2.0, 2.0),
        (Act::Clip { lo: -1.0, hi: 1.0 }, -2.0, -1.0),
        (Act::Clip { lo: -1.0, hi: 1.0 }, 2.0, 1.0),
        (Act::Clip { lo: 1.0, hi: -1.0 }, 0.0, -1.0),
        (Act::Elu { alpha: 2.0 }, -1.0, 2.0 * (-1f64).exp_m1() as f32),
        (Act::Sigmoid, 1.0, 1.0 / (1.0 + (-1f64).exp()) as f32),
        (Act::Tanh, 0.5, 0.5f64.tanh() as f32),
        (Act::Silu, 1.0, 1.0 / (1.0 + (-1f64).exp()) as f32),
        // x/2 · (1 + erf(x/√2)) and its tanh form at 1, from tables.
        (Act::GeluErf, 1.0, 0.841_345),
        (Act::GeluTanh, 1.0, 0.841_192),
        (Act::HardSigmoid { alpha: 0.2, beta: 0.5 }, 1.0, 0.7),
        (Act::Softplus, 0.0, 2f64.ln() as f32),
        (Act::Softsign, -3.0, -0.75),
        (Act::ScaledTanh { alpha: 2.0, beta: 0.5 }, 1.0, 2.0 * 0.5f64.tanh() as f32),
        (Act::Affine { alpha: 0.5, beta: 1.0 }, -4.0, -1.0),
    ];
    for (kind, x, y) in kinds {
        assert!((act(kind, x) - y).abs() <= 1e-6, "{kind:?}({x}) is {}, not {y}", act(kind, x));
        assert!(act(kind, f32::NAN).is_nan(), "{kind:?}(NaN)");
    }
}

/// All tuples below `dims`, in row-major order.
fn indices(dims: &[usize]) -> Vec<Vec<usize>> {
    dims.iter().fold(vec![Vec::new()], |all, &n| {
        all.iter().flat_map(|t| (0..n).map(move |i| [&t[..], &[i]].concat())).collect()
    })
}

fn at(dims: &[usize], index: &[usize]) -> usize {
    index.iter().zip(dims).fold(0, |at, (i, n)| at * n + i)
}

fn window(kernel: &[usize], strides: &[usize], dilations: &[usize], pads: [&[usize]; 2]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        pads_begin: pads[0].to_vec(),
        pads_end: pads[1].to_vec(),
    }
}

/// `y[n, o, m] = bias[m] + Σ_taps Σ_c x[n, o·s + k·d - p, c] · w[k, c, m]`, each chain in this order.
fn conv_by_definition(c: &Conv, x: &Tensor, w: &Tensor, bias: &Tensor, dims: &[usize]) -> Vec<f32> {
    let (xs, ws, bias) = (floats(x), floats(w), floats(bias));
    let win = &c.window;
    let (per_group, filters) = (w.dims()[win.kernel.len()], dims[dims.len() - 1]);
    let value = |o: Vec<usize>| {
        let m = o[o.len() - 1];
        let mut sum = bias[m];
        for k in indices(&win.kernel) {
            let mut from = vec![o[0]];
            for i in 0..k.len() {
                let p =
                    (o[i + 1] * win.strides[i] + k[i] * win.dilations[i]) as i64 - win.pads_begin[i] as i64;
                if (0..x.dims()[i + 1] as i64).contains(&p) {
                    from.push(p as usize);
                }
            }
            if from.len() <= k.len() {
                continue;
            }
            for ch in 0..per_group {
                let channel = m / (filters / c.group) * per_group + ch;
                let x = xs[at(x.dims(), &[&from[..], &[channel]].concat())];
                sum = x.mul_add(ws[at(w.dims(), &[&k[..], &[ch, m]].concat())], sum);
            }
        }
        sum
    };
    indices(dims).into_iter().map(value).collect()
}

#[test]
fn convolutions_are_their_definition() {
    let cases: &[(&[usize], [usize; 3], Window)] = &[
        (&[5], [2, 3, 1], window(&[3], &[1], &[1], [&[1], &[1]])),
        (&[7], [4, 6, 2], window(&[2], &[3], &[2], [&[0], &[4]])),
        (&[4, 5], [3, 18, 1], window(&[3, 2], &[2, 1], &[1, 2], [&[1, 0], &[2, 3]])),
        (&[3, 6], [4, 4, 4], window(&[3, 3], &[1, 2], &[1, 1], [&[1, 1], &[1, 1]])),
        (&[2, 3, 4], [2, 2, 1], window(&[2, 1, 3], &[1, 2, 1], &[1, 1, 1], [&[1, 0, 1], &[0, 1, 1]])),
        // Windows that lie in the pads alone.
        (&[1], [1, 1, 1], window(&[2], &[2], &[1], [&[3], &[4]])),
        (&[], [3, 2, 1], window(&[], &[], &[], [&[], &[]])),
    ];
    for (spatial, [c, m, group], window) in cases {
        let x = wave(&[&[2][..], spatial, &[*c]].concat(), 5);
        let w = wave(&[&window.kernel[..], &[c / group, *m]].concat(), 6);
        let bias = wave(&[*m], 7);
        let conv = Conv::new(window.clone(), *group);
        let y = one(Op::Conv(conv.clone(), Epilogue::BIAS), &[&x, &w, &bias]);
        let expected = conv_by_definition(&conv, &x, &w, &bias, y.dims());
        assert_eq!(floats(&y), expected, "{conv:?}");
    }
}

/// Each element of x adds itself times the weights to a window of the result.
fn conv_transpose_by_definition(c: &ConvTranspose, x: &Tensor, w: &Tensor, dims: &[usize]) -> Vec<f32> {
    let (xs, ws) = (floats(x), floats(w));
    let win = &c.window;
    let (rank, channels) = (win.kernel.len(), x.dims()[win.kernel.len() + 1]);
    let per_group = w.dims()[rank + 1];
    let mut y = vec![0.0f64; dims.iter().product()];
    for i in indices(x.dims()) {
        for k in indices(&[&win.kernel[..], &[per_group]].concat()) {
            let (ch, m) = (i[rank + 1], k[rank]);
            let mut to = vec![i[0]];
            for a in 0..rank {
                let p =
                    (i[a + 1] * win.strides[a] + k[a] * win.dilations[a]) as i64 - win.pads_begin[a] as i64;
                if (0..dims[a + 1] as i64).contains(&p) {
                    to.push(p as usize);
                }
            }
            if to.len() <= rank {
                continue;
            }
            to.push(ch / (channels / c.group) * per_group + m);
            let w = ws[at(w.dims(), &[&k[..rank], &[ch, m]].concat())];
            y[at(dims, &to)] += f64::from(xs[at(x.dims(), &i)]) * f64::from(w);
        }
    }
    y.into_iter().map(|y| y as f32).collect()
}

#[test]
fn transposed_convolutions_are_their_definition() {
    type Case<'a> = (&'a [usize], [usize; 3], &'a [usize], Window);
    let cases: &[Case] = &[
        (&[4], [2, 3, 1], &[0], window(&[3], &[1], &[1], [&[0], &[0]])),
        (&[3], [2, 2, 2], &[1], window(&[3], &[2], &[1], [&[1], &[1]])),
        (&[3, 2], [4, 6, 2], &[1, 2], window(&[3, 2], &[2, 3], &[1, 2], [&[1, 0], &[0, 1]])),
        (
            &[2, 2, 2],
            [1, 2, 1],
            &[0, 0, 0],
            window(&[2, 2, 1], &[2, 1, 2], &[1, 2, 1], [&[0, 1, 0], &[1, 0, 0]]),
        ),
        (&[1], [1, 1, 1], &[0], window(&[1], &[5], &[1], [&[0], &[0]])),
    ];
    for (spatial, [c, m, group], output_padding, window) in cases {
        let x = wave(&[&[2][..], spatial, &[*c]].concat(), 5);
        let w = wave(&[&window.kernel[..], &[*c, m / group]].concat(), 6);
        let output_padding = output_padding.to_vec();
        let conv = ConvTranspose { window: window.clone(), group: *group, output_padding };
        let y = one(Op::ConvTranspose(conv.clone(), Epilogue::NONE), &[&x, &w]);
        let expected = conv_transpose_by_definition(&conv, &x, &w, y.dims());
        assert_eq!(floats(&y).len(), expected.len());
        for (y, e) in floats(&y).iter().zip(expected) {
            assert!((y - e).abs() <= 1e-4 * e.abs().max(1.0), "{y} is not {e} in {conv:?}");
        }
    }
}

#[test]
fn a_transposed_convolution_pads_with_its_bias() {
    let conv =
        ConvTranspose { window: window(&[1], &[3], &[1], [&[0], &[0]]), group: 1, output_padding: vec![1] };
    let y = one(
        Op::ConvTranspose(conv, Epilogue::BIAS),
        &[&f(&[1, 2, 1], &[1.0, 2.0]), &f(&[1, 1, 1], &[10.0]), &f(&[1], &[0.5])],
    );
    assert_eq!(y, f(&[1, 5, 1], &[10.5, 0.5, 0.5, 20.5, 0.5]));
}

#[test]
fn a_window_too_large_to_count_is_refused() {
    let conv = Conv::new(window(&[1], &[usize::MAX], &[1], [&[0], &[0]]), 1);
    let message = refused(Op::Conv(conv, Epilogue::NONE), &[&iota(&[1, 3, 1]), &iota(&[1, 1, 1])]);
    assert!(message.contains("window"), "{message}");
}
