//! Scatters against loops that follow ONNX's definitions, at every instruction set.

use super::{Combine, Scatter};
use crate::copy::Strided;
use crate::copy::tests::{each, position, view};
use crate::simd::for_each_level;
use crate::{Element, bf16, f16};
use proptest::prelude::*;

const ALL: [Combine; 5] = [Combine::Set, Combine::Add, Combine::Mul, Combine::Max, Combine::Min];

fn indices(len: usize, n: usize, seed: u64) -> Vec<i64> {
    (0..len as u64)
        .map(|i| {
            let r = (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            r as i64 % (2 * n as i64) - n as i64
        })
        .collect()
}

fn wrap(i: i64, n: usize) -> usize {
    usize::try_from(if i < 0 { i + n as i64 } else { i }).unwrap()
}

/// `pairs` are (position in y, position in updates) in order. `of` makes elements of small numbers.
fn check<T: Element>(
    scatter: &Scatter,
    pairs: &[(usize, usize)],
    (y_len, u_len): (usize, usize),
    index: &[i64],
    of: fn(i64) -> T,
    meet: fn(Combine, T, T) -> T,
) {
    let data: Vec<T> = (0..y_len as i64).map(|i| of(i * 7 % 11 - 5)).collect();
    let updates: Vec<T> = (0..u_len as i64).map(|i| of(i * 5 % 13 - 6)).collect();
    let mut expected = data.clone();
    for &(to, from) in pairs {
        expected[to] = meet(scatter.combine, expected[to], updates[from]);
    }
    let narrow: Vec<i32> = index.iter().map(|&i| i as i32).collect();
    for_each_level(|level| {
        let mut y = data.clone();
        scatter.run(&mut y, index, &updates);
        assert_eq!(format!("{y:?}"), format!("{expected:?}"), "{scatter:?} at {}", level.name());
        let mut y = data.clone();
        scatter.run(&mut y, &narrow, &updates);
        assert_eq!(format!("{y:?}"), format!("{expected:?}"), "{scatter:?} at {}", level.name());
    });
}

fn check_types(scatter: &Scatter, pairs: &[(usize, usize)], lens: (usize, usize), index: &[i64]) {
    macro_rules! floats {
        ($($t:ty, $of:expr;)*) => {$(
            check::<$t>(scatter, pairs, lens, index, $of, |c, y, u| match c {
                Combine::Set => u,
                Combine::Add => y + u,
                Combine::Mul => y * u,
                Combine::Max => if y.is_nan() || u.is_nan() { <$t>::NAN } else if y > u { y } else { u },
                Combine::Min => if y.is_nan() || u.is_nan() { <$t>::NAN } else if y < u { y } else { u },
            });
        )*};
    }
    macro_rules! ints {
        ($($t:ty)*) => {$(
            check::<$t>(scatter, pairs, lens, index, |i| i as $t, |c, y, u| match c {
                Combine::Set => u,
                Combine::Add => y.wrapping_add(u),
                Combine::Mul => y.wrapping_mul(u),
                Combine::Max => y.max(u),
                Combine::Min => y.min(u),
            });
        )*};
    }
    floats! {
        f32, |i| if i == 4 { f32::NAN } else { i as f32 * 0.3 };
        f64, |i| if i == 4 { f64::NAN } else { i as f64 * 0.3 };
        f16, |i| if i == 4 { f16::NAN } else { f16::from_f32(i as f32) };
        bf16, |i| if i == 4 { bf16::NAN } else { bf16::from_f32(i as f32) };
    }
    ints!(i8 u16 i64);
    check::<bool>(
        scatter,
        pairs,
        lens,
        index,
        |i| i % 2 == 0,
        |c, y, u| match c {
            Combine::Set => u,
            Combine::Add | Combine::Max => y | u,
            Combine::Mul | Combine::Min => y & u,
        },
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn elements(
        axes in prop::collection::vec((1usize..6, 0usize..6), 1..4),
        wide in any::<bool>(),
        axis in any::<prop::sample::Index>(),
        broadcast in any::<bool>(),
        turned in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let (mut yd, mut id): (Vec<usize>, Vec<usize>) = axes.iter().copied().unzip();
        if wide {
            yd.push(37);
            id.push(35);
        }
        let axis = axis.index(yd.len());
        for a in (0..yd.len()).filter(|&a| a != axis) {
            id[a] = id[a].min(yd[a]);
        }
        let order: Vec<usize> = (0..id.len()).rev().collect();
        let kinds: Vec<u8> = (0..id.len()).map(|a| if a == axis || !broadcast { 0 } else { 3 }).collect();
        let iv = view(&id, &order, &kinds);
        let uv = view(&id, &order, &vec![u8::from(turned); id.len()]);
        let y = Strided::dense(&yd).unwrap();
        let index = indices(iv.len, yd[axis], seed.into());
        let mut pairs = vec![];
        each(&id, |at| {
            let mut to = at.to_vec();
            to[axis] = wrap(index[position(&iv.view, at)], yd[axis]);
            pairs.push((position(&y, &to), position(&uv.view, at)));
        });
        for combine in ALL {
            let scatter = Scatter::elements(&y, &iv.view, &uv.view, axis, combine).unwrap();
            check_types(&scatter, &pairs, (yd.iter().product(), uv.len), &index);
        }
    }

    #[test]
    fn nd(
        indexed in prop::collection::vec(1usize..5, 0..4),
        inner in prop::collection::vec(0usize..40, 0..2),
        which in prop::collection::vec(0usize..6, 0..3),
        broadcast in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let d = indexed.len();
        let yd = [&indexed[..], &inner].concat();
        let id = [&which[..], &[d]].concat();
        let ud = [&which[..], &inner].concat();
        let order: Vec<usize> = (0..ud.len()).rev().collect();
        let uv = view(&ud, &order, &vec![if broadcast { 3 } else { 0 }; ud.len()]);
        let (y, i) = (Strided::dense(&yd).unwrap(), Strided::dense(&id).unwrap());
        let index = indices(id.iter().product(), indexed.iter().copied().min().unwrap_or(1), seed.into());
        let mut pairs = vec![];
        each(&ud, |at| {
            let w = which.len();
            let tuple = (0..d).map(|c| wrap(index[position(&i, &[&at[..w], &[c]].concat())], indexed[c]));
            let to: Vec<usize> = tuple.chain(at[w..].iter().copied()).collect();
            pairs.push((position(&y, &to), position(&uv.view, at)));
        });
        for combine in ALL {
            let scatter = Scatter::nd(&y, &i, &uv.view, combine).unwrap();
            check_types(&scatter, &pairs, (yd.iter().product(), uv.len), &index);
        }
    }
}

#[test]
#[should_panic(expected = "scatter: index 3 is outside an axis of 3")]
fn an_index_past_the_end() {
    let s = |dims: &[usize]| Strided::dense(dims).unwrap();
    let scatter = Scatter::nd(&s(&[3, 2]), &s(&[1, 1]), &s(&[1, 2]), Combine::Add).unwrap();
    scatter.run(&mut [0f32; 6], &[3i64], &[1.0; 2]);
}
