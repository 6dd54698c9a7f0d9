//! Speed of convolutions of well-known networks: `cargo run --release --example conv_bench [name]`.
//!
//! GFLOP/s count the multiplications of the definition, whatever the algorithm saves. Of each layer the best of
//! the rounds is shown; rounds of all layers are interleaved, so that a disturbance does not hit one alone.

use std::hint::black_box;
use std::time::Instant;

use sofie_infer_runtime::Act;
use sofie_infer_runtime::conv::{Conv, Window};

struct Layer {
    name: &'static str,
    conv: Conv,
    x: Vec<f32>,
    w: Vec<f32>,
    prepared: Vec<f32>,
    bias: Vec<f32>,
    y: Vec<f32>,
    scratch: Vec<f32>,
    best: f64,
}

/// Values that differ and stay far from subnormals.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
}

/// A layer over `axes` axes of extent `x`: channels `[c, m]`, kernel and stride `[k, s]`, padded to keep the extent;
/// patches (`k = s`) are not padded.
fn layer(
    name: &'static str,
    axes: usize,
    x: usize,
    [c, m]: [usize; 2],
    [k, s]: [usize; 2],
    group: usize,
) -> Layer {
    let pad = if k == s { 0 } else { k / 2 };
    let y = (x + 2 * pad - k) / s + 1;
    let list = |v: usize| vec![v; axes];
    let window = Window::new(&list(x), &list(y), &list(k), &list(s), &list(1), &list(pad));
    let conv = Conv { act: Act::Relu, ..Conv::new(1, window, c, m, group) };
    let w = conv.pack(&values(window.taps() * c / group * m));
    let mut prepared = vec![0.0; conv.prepared_len()];
    conv.prepare(&w, &mut prepared);
    Layer {
        name,
        x: values(window.x_pixels() * c),
        w,
        prepared,
        bias: values(m),
        y: vec![0.0; window.y_pixels() * m],
        scratch: vec![0.0; conv.scratch()],
        best: f64::MAX,
        conv,
    }
}

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let layers = [
        layer("resnet18 7x7 s2 224x224x3 -> 64", 2, 224, [3, 64], [7, 2], 1),
        layer("resnet18 3x3 56x56x64", 2, 56, [64, 64], [3, 1], 1),
        layer("resnet18 3x3 28x28x128", 2, 28, [128, 128], [3, 1], 1),
        layer("resnet18 3x3 14x14x256", 2, 14, [256, 256], [3, 1], 1),
        layer("resnet18 3x3 7x7x512", 2, 7, [512, 512], [3, 1], 1),
        layer("resnet18 3x3 s2 56x56x64 -> 128", 2, 56, [64, 128], [3, 2], 1),
        layer("resnet18 1x1 s2 56x56x64 -> 128", 2, 56, [64, 128], [1, 2], 1),
        layer("resnet50 1x1 56x56x64 -> 256", 2, 56, [64, 256], [1, 1], 1),
        layer("mobilenet dw 3x3 s2 112x112x96", 2, 112, [96, 96], [3, 2], 96),
        layer("mobilenet dw 3x3 56x56x144", 2, 56, [144, 144], [3, 1], 144),
        layer("mobilenet dw 3x3 14x14x576", 2, 14, [576, 576], [3, 1], 576),
        layer("mobilenet dw 5x5 14x14x480", 2, 14, [480, 480], [5, 1], 480),
        layer("resnext 3x3 14x14x256 g32", 2, 14, [256, 256], [3, 1], 32),
        layer("shufflenet 1x1 28x28x240 g3", 2, 28, [240, 240], [1, 1], 3),
        layer("lenet 5x5 28x28x1 -> 6", 2, 28, [1, 6], [5, 1], 1),
        layer("lenet 5x5 14x14x6 -> 16", 2, 14, [6, 16], [5, 1], 1),
        layer("squeezenet 3x3 27x27x32 -> 128", 2, 27, [32, 128], [3, 1], 1),
        layer("squeezenet 3x3 13x13x64 -> 256", 2, 13, [64, 256], [3, 1], 1),
        layer("vgg 3x3 112x112x128", 2, 112, [128, 128], [3, 1], 1),
        layer("vgg 3x3 224x224x3 -> 64", 2, 224, [3, 64], [3, 1], 1),
        layer("unet 3x3 64x64x16", 2, 64, [16, 16], [3, 1], 1),
        layer("calorimeter 3x3x3 12x12x12x16", 3, 12, [16, 16], [3, 1], 1),
        layer("calorimeter 3x3x3 20x20x20x6 -> 1", 3, 20, [6, 1], [3, 1], 1),
        layer("unet 3x3 64x64x1 -> 16", 2, 64, [1, 16], [3, 1], 1),
        layer("head 3x3 64x64x16 -> 3", 2, 64, [16, 3], [3, 1], 1),
        layer("resnext 3x3 s2 28x28x256 g32", 2, 28, [256, 256], [3, 2], 32),
        layer("resnext 3x3 14x14x512 g32", 2, 14, [512, 512], [3, 1], 32),
        layer("resnext 3x3 56x56x128 g32", 2, 56, [128, 128], [3, 1], 32),
        layer("multiplier 3x3 28x28x32 -> 64 g32", 2, 28, [32, 64], [3, 1], 32),
        layer("mobilenet 3x3 s2 224x224x3 -> 32", 2, 224, [3, 32], [3, 2], 1),
        layer("wave 15 s4 16000x1 -> 32", 1, 16000, [1, 32], [15, 4], 1),
        layer("tcn 3 1000x64", 1, 1000, [64, 64], [3, 1], 1),
        layer("wavenet 3 400x25", 1, 400, [25, 25], [3, 1], 1),
        layer("tiny 2x2 s2 16x16x1 -> 4", 2, 16, [1, 4], [2, 2], 1),
        layer("tiny 3x3 s2 16x16x1 -> 4", 2, 16, [1, 4], [3, 2], 1),
        layer("tiny 3x3 16x16x1 -> 4", 2, 16, [1, 4], [3, 1], 1),
        layer("tiny 3x3 10x10x2 -> 8", 2, 10, [2, 8], [3, 1], 1),
        layer("tiny 3x3 8x8x4 -> 4", 2, 8, [4, 4], [3, 1], 1),
        layer("tiny 3x3 8x8x8 -> 8", 2, 8, [8, 8], [3, 1], 1),
        layer("tiny 3x3 8x8x8 -> 1", 2, 8, [8, 1], [3, 1], 1),
        layer("tiny 3 64x1 -> 4", 1, 64, [1, 4], [3, 1], 1),
        layer("small 3x3 7x7x16", 2, 7, [16, 16], [3, 1], 1),
        layer("small 3x3 8x8x16 -> 32", 2, 8, [16, 32], [3, 1], 1),
        layer("small 3x3 8x8x32", 2, 8, [32, 32], [3, 1], 1),
        layer("small 3x3 4x4x64", 2, 4, [64, 64], [3, 1], 1),
        layer("small 3x3 14x14x8", 2, 14, [8, 8], [3, 1], 1),
        layer("small 3x3 14x14x8 -> 16", 2, 14, [8, 16], [3, 1], 1),
        layer("small 3x3 14x14x16", 2, 14, [16, 16], [3, 1], 1),
        layer("small 3x3 28x28x8", 2, 28, [8, 8], [3, 1], 1),
        layer("small 3x3 28x28x4 -> 8", 2, 28, [4, 8], [3, 1], 1),
        layer("small 3x3 28x28x8 -> 16", 2, 28, [8, 16], [3, 1], 1),
        layer("tiny dw 3x3 8x8x8", 2, 8, [8, 8], [3, 1], 8),
    ];
    let mut layers: Vec<_> = layers.into_iter().filter(|l| l.name.contains(&only)).collect();
    for _ in 0..20 {
        for l in &mut layers {
            let mut run = || {
                l.conv.run(&mut l.y, black_box(&l.x), &l.w, &l.prepared, &l.bias, &[], &mut l.scratch);
            };
            let start = Instant::now();
            run();
            let times = (5e-3 / start.elapsed().as_secs_f64()) as usize + 1;
            let start = Instant::now();
            (0..times).for_each(|_| run());
            l.best = l.best.min(start.elapsed().as_secs_f64() / times as f64);
        }
    }
    println!("{:34} {:>10} {:>10} {:>9}", "layer", "algorithm", "µs", "GFLOP/s");
    for l in &layers {
        let w = &l.conv.window;
        let flop = 2 * w.y_pixels() * w.taps() * l.conv.c / l.conv.group * l.conv.m;
        let algo = format!("{:?}", l.conv.algo);
        println!("{:34} {algo:>10} {:10.2} {:9.1}", l.name, l.best * 1e6, flop as f64 / l.best / 1e9);
    }
}
