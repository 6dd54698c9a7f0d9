//! How fast are maps: one run of memory, rows that are repeated, rows that are gathered?
//!
//! `cargo run --release -p sofie-infer-runtime --example map_bench`

use std::hint::black_box;
use std::time::Instant;

use sofie_infer_runtime::DType;
use sofie_infer_runtime::copy::Strided;
use sofie_infer_runtime::map::{Binary, Map, MapProgram, MapSpec, Unary, Value, View};

fn program(count: usize, relu: bool) -> MapProgram {
    let mut values: Vec<Value> = (0..count).map(Value::Input).collect();
    let mut last = 0;
    for i in 1..count {
        values.push(Value::Binary(Binary::Add, last, i));
        last = values.len() - 1;
    }
    if relu {
        values.push(Value::Unary(Unary::Relu, last));
    }
    MapProgram::compile(&values, &vec![DType::F32; count]).expect("a small program")
}

fn main() {
    for (points, k, n) in [(100, 7, 32), (100, 7, 64), (128, 16, 256), (60, 1, 32), (300, 3, 64)] {
        let rows = points * k;
        let dims = [points, k, n];
        let y = Strided::dense(&dims).expect("three axes");
        let x: Vec<f32> = (0..rows * n).map(|i| (i % 31) as f32 - 15.0).collect();
        let index: Vec<i64> = (0..rows).map(|i| ((i * 7919) % points) as i64).collect();
        let repeated = Strided::new(&dims, &[n as isize, 0, 1], 0).expect("three axes");
        let column = Strided::new(&dims, &[k as isize, 1, 0], 0).expect("three axes");
        let gathered = Strided::new(&dims, &[0, 0, 1], 0).expect("three axes");
        let by = Strided::new(&dims, &[k as isize, 1, 0], 0).expect("three axes");
        let by_index = View::Indexed {
            slice: (0, &gathered),
            index: (1, &by),
            index_type: DType::I64,
            extent: points,
            step: n as isize,
        };
        let cases: [(&str, Vec<View<'_>>, bool); 6] = [
            ("relu", vec![View::Slice(0, &y)], true),
            ("dense + dense", vec![View::Slice(0, &y), View::Slice(2, &y)], false),
            ("dense + column", vec![View::Slice(0, &y), View::Slice(2, &column)], false),
            ("dense + repeated", vec![View::Slice(0, &y), View::Slice(2, &repeated)], false),
            ("relu(dense + repeated)", vec![View::Slice(0, &y), View::Slice(2, &repeated)], true),
            ("relu(gathered + repeated)", vec![by_index, View::Slice(2, &repeated)], true),
        ];
        for (name, views, relu) in cases {
            let map =
                Map::new(MapSpec::of_views(&y, &views, program(views.len(), relu)).expect("a small map"));
            let mut out = vec![0.0f32; rows * n];
            let mut best = f64::INFINITY;
            for _ in 0..2000 {
                let start = Instant::now();
                map.run(
                    out.as_mut_slice().into(),
                    &[x.as_slice().into(), index.as_slice().into(), x.as_slice().into()],
                );
                best = best.min(start.elapsed().as_secs_f64());
                black_box(&mut out);
            }
            println!(
                "{points:4} x {k:2} x {n:3} {name:26} {:8.2} us {:6.3} ns an element",
                best * 1e6,
                best * 1e9 / (rows * n) as f64
            );
        }
    }
}
