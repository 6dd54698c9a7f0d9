//! Sums of rows against one scalar at a time, at every level.

use super::tests::{Buffer, check, number};
use super::*;
use crate::DType;
use crate::copy::Strided;
use std::vec;
use std::vec::Vec;

/// What goes over rows as they lie: two to four operands, one of them gathered, with and without an activation.
#[test]
fn sums_of_rows() {
    let floats =
        |n: usize, seed: u64| Buffer::new(DType::F32, (0..n).map(|i| number(DType::F32, seed + i as u64)));
    let f = DType::F32;
    for (rows, k, cols, gap) in [(5, 3, 8, 0), (7, 4, 33, 0), (40, 7, 32, 3), (3, 1, 64, 1), (2, 9, 700, 0)] {
        let dims = [rows, k, cols];
        let ld = (cols + gap) as isize;
        let gathered = Strided::new(&dims, &[0, 0, 1], 0).unwrap();
        let index = Strided::new(&dims, &[k as isize, 1, 0], 0).unwrap();
        let views = [
            Strided::new(&dims, &[ld, 0, 1], 1).unwrap(),
            Strided::new(&dims, &[0, ld, 1], 0).unwrap(),
            Strided::new(&dims, &[k as isize * ld, ld, 1], 2).unwrap(),
        ];
        let indices = (0..rows * k).map(|i| Scalar::from_f64(DType::I64, (i * i % 14) as f64 - 7.0));
        let mut slices = vec![floats(7 * cols, 1), Buffer::new(DType::I64, indices)];
        slices.extend([rows, k, rows * k].map(|n| floats(n * (cols + gap) + 3, n as u64)));
        let indexed = View::Indexed {
            slice: (0, &gathered),
            index: (1, &index),
            index_type: DType::I64,
            extent: 7,
            step: cols as isize,
        };
        let all = [indexed, View::Slice(2, &views[0]), View::Slice(3, &views[1]), View::Slice(4, &views[2])];
        for out in [Strided::dense(&dims).unwrap(), views[2]] {
            for count in 2..=4 {
                let mut values: Vec<Value> = (0..count).map(Value::Input).collect();
                values.push(Value::Binary(Binary::Add, 1, 0));
                values.extend((2..count).map(|i| Value::Binary(Binary::Add, count + i - 2, i)));
                let program = MapProgram::compile(&values, &vec![f; count]).unwrap();
                let map = Map::new(MapSpec::of_views(&out, &all[..count], program).unwrap());
                // Rows that fill a block are read where they lie by the blocks.
                assert!(map.plan.sum.is_some() || cols == 700, "{map:?}");
                check(&values, &vec![f; count], &out, &all[..count], &slices);
                values.push(Value::Unary(Unary::Relu, values.len() - 1));
                check(&values, &vec![f; count], &out, &all[..count], &slices);
            }
        }
    }
}
