//! Products of a matrix of bytes with weights of bytes, as quantised models have them: exact in `i32`, with a quarter of
//! the memory that the weights take as floats, and where the CPU has instructions for it a quarter of the time.
//!
//! `(a - zero) · w` is `a · w - zero · sums of w's columns`, so a zero point that is known at run time alone costs one
//! multiplication an element of the result.

use alloc::vec;
use alloc::vec::Vec;

use super::Algorithm;
use super::bytes::{ByteFinish, GROUP, Operands, Rows};
use crate::map::{Dst, Src};
use crate::simd::LANES;

/// `c [rows, n] (i32) ← a [rows, k] (u8), zero [1] (u8), w [⌈n/16⌉, ⌈k/4⌉, 16] (u32: four signed bytes each, see
/// [`byte_tables`]), sums [⌈n/16⌉, 16] (i32: of each column of the weights)`, and what a finish reads behind them: `addend
/// [⌈n/16⌉, 16] (i32)?, scale [⌈n/16⌉, 16] (f32), bias [⌈n/16⌉, 16] (f32)?`, what its
/// steps add: rows like the bias, or `[rows, n]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteProduct {
    /// Rows.
    pub rows: usize,
    /// Terms of a sum.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Added to each weight: bytes that begin elsewhere than at -128.
    pub shift: isize,
    /// What is stored instead of the sums.
    pub finish: Option<ByteFinish>,
}

/// Rows one after the other.
#[derive(Clone, Copy)]
struct Dense(usize);

impl Rows for Dense {
    #[inline(always)]
    fn start(&self, row: usize) -> usize {
        row * self.0
    }
    #[inline(always)]
    fn starts<const R: usize>(&self, row: usize) -> [usize; R] {
        core::array::from_fn(|r| (row + r) * self.0)
    }
    #[inline(always)]
    fn line(&self) -> Option<usize> {
        None
    }
    #[inline(always)]
    fn step(&self) -> usize {
        self.0
    }
    #[inline(always)]
    fn runs(&self) -> usize {
        1
    }
    #[inline(always)]
    fn stride(&self) -> usize {
        0
    }
    #[inline(always)]
    fn run_len(&self) -> usize {
        self.0
    }
}

impl Algorithm for ByteProduct {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let ByteProduct { rows, k, n, shift, ref finish } = *self;
        let (w, _) = xs[2].slice::<u32>().as_chunks();
        let (sums, _) = xs[3].slice::<i32>().as_chunks();
        let (a, zero) = (xs[0].slice(), i32::from(xs[1].slice::<u8>()[0]));
        let finish = finish.as_ref().map(|f| f.tables(&xs[4..]));
        Operands { a, rows: Dense(k), zero, w, sums, n, ldc: n, shift: shift as i32, finish }.run(ys[0].bytes(), rows, 0);
    }
}

/// The weights of [`ByteProduct`] and the sums of their columns, of `w [k, n]`.
#[must_use]
pub fn byte_tables(w: &[i8], k: usize, n: usize) -> (Vec<u32>, Vec<i32>) {
    let groups = k.div_ceil(GROUP);
    let panels = n.div_ceil(LANES);
    let (mut packed, mut sums) = (vec![0u32; panels * groups * LANES], vec![0; panels * LANES]);
    for (i, &x) in w.iter().enumerate().take(k * n) {
        let (row, column) = (i / n, i % n);
        let at = (column / LANES * groups + row / GROUP) * LANES + column % LANES;
        packed[at] |= u32::from(x as u8) << (8 * (row % GROUP));
        sums[column] += i32::from(x);
    }
    (packed, sums)
}

#[cfg(test)]
mod tests {
    use super::super::bytes::{ByteStep, Part, Steps};
    use super::*;
    use crate::simd::bytes::tests::{dispatch_generic, dispatch_rows};
    use crate::simd::{float, for_each_level};
    use crate::{Act, DType, pad};

    fn numbers(seed: usize) -> impl FnMut() -> u8 {
        let mut state = seed as u32;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }
    }

    /// The operands of a product, and its sums.
    struct Case {
        a: Vec<u8>,
        zero: [u8; 1],
        packed: Vec<u32>,
        sums: Vec<i32>,
        expected: Vec<i32>,
    }

    fn case(rows: usize, k: usize, n: usize, shift: isize) -> Case {
        let mut random = numbers(rows * 31 + k * 7 + n);
        let a: Vec<u8> = (0..rows * k).map(|_| random()).collect();
        let w: Vec<i8> = (0..k * n).map(|_| random() as i8).collect();
        let zero = random();
        let mut expected = vec![0; rows * n];
        for (i, y) in expected.iter_mut().enumerate() {
            let term =
                |l: usize| (i32::from(a[i / n * k + l]) - i32::from(zero)) * (i32::from(w[l * n + i % n]) + shift as i32);
            *y = (0..k).map(term).sum::<i32>();
        }
        let (packed, sums) = byte_tables(&w, k, n);
        Case { a, zero: [zero], packed, sums, expected }
    }

    fn check(rows: usize, k: usize, n: usize, shift: isize) {
        let Case { a, zero, packed, sums, expected } = case(rows, k, n, shift);
        let product = ByteProduct { rows, k, n, shift, finish: None };
        for_each_level(|level| {
            let mut c = vec![7i32; rows * n];
            let operands = [(&a[..]).into(), (&zero[..]).into(), (&packed[..]).into(), (&sums[..]).into()];
            product.run(&mut [c[..].as_mut().into()], &operands);
            assert_eq!(c, expected, "{rows} x {k} x {n}, {}", level.name());
            c.fill(7);
            let (w, sums) = (packed.as_chunks().0, sums.as_chunks().0);
            let (zero, shift) = (i32::from(zero[0]), shift as i32);
            let of = Operands { a: &a, rows: Dense(k), zero, w, sums, n, ldc: n, shift, finish: None };
            let mut bytes: Dst<'_> = c[..].as_mut().into();
            dispatch_generic(level, Part { of: &of, c: bytes.bytes(), start: 0, rows, residual: 0 });
            assert_eq!(c, expected, "{rows} x {k} x {n}, {} without more", level.name());
            c.fill(7);
            let mut bytes: Dst<'_> = c[..].as_mut().into();
            dispatch_rows(Part { of: &of, c: bytes.bytes(), start: 0, rows, residual: 0 });
            assert_eq!(c, expected, "{rows} x {k} x {n}, row by row");
        });
    }

    #[test]
    fn the_sums_are_exact() {
        for (rows, k, n) in [(1, 1, 1), (1, 9, 20), (2, 16, 64), (3, 7, 130), (4, 8, 65), (9, 13, 17), (6, 5, 200), (1, 40, 150), (150, 6, 70), (13, 9, 40)] {
            check(rows, k, n, 0);
            check(rows, k, n, -100);
        }
        // More rows, by tiles, with groups that are left over, and with rows and panels that are.
        for (rows, k, n) in [(40, 64, 40), (33, 68, 16), (50, 130, 33), (300, 16, 20), (71, 300, 50), (16, 67, 70)] {
            check(rows, k, n, 0);
            check(rows, k, n, 77);
        }
        check(0, 4, 4, 0);
        check(3, 0, 4, 1);
    }

    /// Steps as the numbers that they stand for.
    fn dequantised(steps: Steps, byte: u8) -> f32 {
        let n = if steps.of == DType::I8 { f32::from(byte as i8) } else { f32::from(byte) };
        (n - steps.zero) * steps.scale
    }

    fn check_finish(rows: usize, k: usize, n: usize, finish: ByteFinish, odd: bool) {
        let Case { a, zero, packed, sums, expected } = case(rows, k, n, 0);
        let mut random = numbers(n + 5);
        let columns = n.next_multiple_of(LANES);
        let addend: Vec<i32> = (0..columns).map(|_| i32::from(random()) * 40).collect();
        let scale: Vec<f32> = (0..columns).map(|_| f32::from(random()) * 1e-6 + 1e-5).collect();
        let mut bias: Vec<f32> = (0..columns).map(|_| f32::from(random()) * 0.01 - 1.0).collect();
        if finish.to.is_some() && odd {
            bias[n / 2] = f32::NAN;
        }
        let bytes: Vec<u8> = (0..rows * n).map(|_| random()).collect();
        let mut floats: Vec<f32> = bytes.iter().map(|b| f32::from(*b) * 0.01).collect();
        if finish.to.is_some() && odd {
            floats[n / 2..].iter_mut().step_by(7).for_each(|x| *x = f32::NAN);
        }
        let signed: Vec<i8> = bytes.iter().map(|b| *b as i8).collect();
        let number = |i: usize| {
            let column = i % n;
            let sum = expected[i] + if finish.addend { addend[column] } else { 0 };
            let x = float::mul_add(sum as f32, scale[column], if finish.bias { bias[column] } else { -0.0 });
            finish.steps.iter().fold(x, |x, step| match *step {
                ByteStep::None => x,
                ByteStep::Act(act) => act.apply(x),
                ByteStep::AddRow => x + bias[column],
                ByteStep::Add(of) if of.of == DType::F32 => x + floats[i],
                ByteStep::Add(of) => x + dequantised(of, bytes[i]),
            })
        };
        let expected: Vec<f32> = (0..rows * n).map(number).collect();
        let mut operands: Vec<Src<'_>> = vec![(&a[..]).into(), (&zero[..]).into(), (&packed[..]).into(), (&sums[..]).into()];
        operands.extend(finish.addend.then(|| Src::from(&addend[..])));
        operands.push((&scale[..]).into());
        operands.extend(finish.bias.then(|| Src::from(&bias[..])));
        operands.extend(finish.steps.iter().filter_map(|step| match step {
            ByteStep::None | ByteStep::Act(_) => None,
            ByteStep::AddRow => Some(Src::from(&bias[..])),
            ByteStep::Add(Steps { of: DType::F32, .. }) => Some(Src::from(&floats[..])),
            ByteStep::Add(Steps { of: DType::I8, .. }) => Some(Src::from(&signed[..])),
            ByteStep::Add(_) => Some(Src::from(&bytes[..])),
        }));
        let product = ByteProduct { rows, k, n, shift: 0, finish: Some(finish) };
        for_each_level(|level| {
            let shown = || format!("{product:?}, {}", level.name());
            let Some(to) = finish.to else {
                let mut c = vec![7f32; rows * n];
                product.run(&mut [c[..].as_mut().into()], &operands);
                assert_eq!(c, expected, "{}", shown());
                return;
            };
            let (mut c, mut d) = (vec![7u8; rows * n], vec![7i8; rows * n]);
            let signed = finish.stored() == DType::I8;
            let y = if signed { Dst::from(&mut d[..]) } else { Dst::from(&mut c[..]) };
            product.run(&mut [y], &operands);
            let step = Act::FakeQuantize { scale: to.scale, zero: to.zero, to: to.of };
            for (i, x) in expected.iter().enumerate() {
                let y = if signed { d[i] as u8 } else { c[i] };
                let y = if finish.above_least { y ^ 128 } else { y };
                assert_eq!(dequantised(to, y), step.apply(*x), "{i}: {x}, {}", shown());
            }
        });
    }

    #[test]
    fn what_follows_is_done_to_each_sum() {
        let scaled = ByteFinish { addend: false, bias: false, steps: pad([], ByteStep::None), to: None, above_least: false };
        let (a, b) = (Steps { of: DType::U8, scale: 0.03, zero: 100.0 }, Steps { of: DType::I8, scale: 0.02, zero: -7.0 });
        let float = Steps { of: DType::F32, scale: 1.0, zero: 0.0 };
        let [relu, silu] = [Act::Relu, Act::Silu].map(ByteStep::Act);
        let quantised = ByteStep::Act(Act::FakeQuantize { scale: 0.01, zero: 120.0, to: DType::U8 });
        let [add, signed, floats] = [a, b, float].map(ByteStep::Add);
        let clip = ByteStep::Act(Act::Clip { lo: -0.7, hi: 0.9 });
        let affine = ByteStep::Act(Act::Affine { alpha: 1.5, beta: -0.25 });
        let steps = |some: &[ByteStep]| core::array::from_fn(|i| some.get(i).copied().unwrap_or(ByteStep::None));
        let finishes = [
            scaled,
            ByteFinish { bias: true, to: Some(a), ..scaled },
            ByteFinish { addend: true, to: Some(b), ..scaled },
            ByteFinish { bias: true, to: Some(b), above_least: true, ..scaled },
            ByteFinish { bias: true, steps: steps(&[relu, quantised, add, relu]), to: Some(b), ..scaled },
            ByteFinish { bias: true, steps: steps(&[quantised, signed, ByteStep::AddRow]), to: Some(a), ..scaled },
            ByteFinish { steps: steps(&[ByteStep::AddRow, floats, silu, add]), ..scaled },
            // What is done in registers, a step more each time.
            ByteFinish { bias: true, ..scaled },
            ByteFinish { bias: true, steps: steps(&[quantised]), ..scaled },
            ByteFinish { bias: true, steps: steps(&[relu, clip]), to: Some(b), ..scaled },
            ByteFinish { bias: true, steps: steps(&[clip, quantised, affine, signed]), ..scaled },
            ByteFinish { steps: steps(&[quantised, affine, floats, clip]), to: Some(a), ..scaled },
            ByteFinish { steps: steps(&[floats, relu]), to: Some(b), above_least: true, ..scaled },
            ByteFinish { addend: true, steps: steps(&[add, clip, relu]), to: Some(a), ..scaled },
            ByteFinish { steps: steps(&[signed]), ..scaled },
            ByteFinish { steps: steps(&[floats]), ..scaled },
            ByteFinish { steps: steps(&[quantised, floats]), ..scaled },
            ByteFinish { bias: true, steps: steps(&[quantised, relu]), ..scaled },
            ByteFinish { steps: steps(&[quantised, add, quantised, affine, relu]), to: Some(b), ..scaled },
            ByteFinish { steps: steps(&[floats, clip, quantised, affine]), to: Some(b), ..scaled },
            ByteFinish { steps: steps(&[quantised, signed, quantised, clip]), ..scaled },
            ByteFinish { steps: steps(&[floats, clip, quantised]), ..scaled },
        ];
        for finish in finishes {
            for (rows, k, n) in [(1, 8, 3), (5, 9, 16), (9, 4, 33), (4, 12, 64), (3, 5, 130), (17, 5, 20), (50, 20, 40)] {
                check_finish(rows, k, n, finish, false);
                check_finish(rows, k, n, finish, true);
            }
        }
    }
}
