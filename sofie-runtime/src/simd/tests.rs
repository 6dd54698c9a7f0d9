//! Every operation: the scalar level against plain Rust, every other level against the scalar one, on values
//! that include NaN, infinities, both zeros, subnormals and halves.

use std::vec::Vec;

use super::*;
use crate::random::Random;

/// Three vectors of floats, three of integers, and a mask: the operands of every operation.
#[derive(Clone, Debug)]
struct Case {
    a: [f32; 16],
    b: [f32; 16],
    c: [f32; 16],
    i: [i32; 16],
    j: [i32; 16],
    n: [i32; 16],
    mask: u16,
}

const SPECIAL: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MIN_POSITIVE,
    1.0e-40,
    -1.0e-45,
    f32::MAX,
    f32::MIN,
    8_388_607.5,
    -8_388_607.5,
    16_777_216.0,
    2_147_483_500.0,
    3.0e9,
    -2_147_483_648.0,
    0.333_333_34,
];

/// The cases must not depend on anything.
impl Random {
    fn float(&mut self) -> f32 {
        match self.next() % 4 {
            0 => SPECIAL[self.next() as usize % SPECIAL.len()],
            1 => f32::from_bits(self.next() as u32),
            _ => (self.next() % 20_001) as f32 / 1000.0 - 10.0,
        }
    }
    fn int(&mut self) -> i32 {
        match self.next() % 4 {
            0 => [0, 1, -1, i32::MAX, i32::MIN, 31, 32, 33][self.next() as usize % 8],
            _ => self.next() as i32 >> (self.next() % 32),
        }
    }
    fn case(&mut self) -> Case {
        Case {
            a: core::array::from_fn(|_| self.float()),
            b: core::array::from_fn(|_| self.float()),
            c: core::array::from_fn(|_| self.float()),
            i: core::array::from_fn(|_| self.int()),
            j: core::array::from_fn(|_| self.int()),
            n: core::array::from_fn(|_| {
                (self.next() % 40) as i32 - if self.next().is_multiple_of(9) { 4 } else { 0 }
            }),
            mask: self.next() as u16,
        }
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..if cfg!(miri) { 3 } else { 400 }).map(|_| random.case()).collect()
}

/// What one operation gave: its name and its lanes' bits, every NaN as one.
type Answer = (&'static str, [u32; 16]);

fn bits(x: [f32; 16]) -> [u32; 16] {
    x.map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() })
}

/// Runs everything on one case.
struct Everything<'a>(&'a Case);

impl Op for Everything<'_> {
    type Output = Vec<Answer>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<Answer> {
        let case = self.0;
        let (a, b, c) = (s.load(&case.a), s.load(&case.b), s.load(&case.c));
        let (i, j, n) = (s.load_i32(&case.i), s.load_i32(&case.j), s.load_i32(&case.n));
        let m = s.mask_from_bits(case.mask);
        let mut out: Vec<Answer> = Vec::new();
        macro_rules! floats { ($($name:ident($($x:expr),*))*) => {
            $(out.push((stringify!($name), bits(s.to_array(s.$name($($x),*)))));)*
        } }
        macro_rules! ints { ($($name:ident($($x:expr),*))*) => {
            $(out.push((stringify!($name), s.to_array_i32(s.$name($($x),*)).map(|x| x as u32)));)*
        } }
        macro_rules! masks { ($($name:ident($($x:expr),*))*) => {
            $(out.push((stringify!($name), [s.mask_bits(s.$name($($x),*)) as u32; 16]));)*
        } }
        macro_rules! values { ($($name:ident($($x:expr),*))*) => {
            $(out.push((stringify!($name), bits([s.$name($($x),*); 16])));)*
        } }
        floats! {
            splat(1.5) zero() add(a, b) sub(a, b) mul(a, b) div(a, b) mul_add(a, b, c) mul_sub(a, b, c)
            neg_mul_add(a, b, c) sqrt(a) neg(a) abs(a) copysign(a, b) round_ties_even(a) floor(a) ceil(a)
            trunc(a) max_raw(a, b) min_raw(a, b) max(a, b) min(a, b) clamp(a, s.splat(-1.0), s.splat(2.0))
            select(m, a, b) from_bits(i) to_f32(i) lookup(a, i) lookup_pair(a, b, i)
            lookup_low(a, s.and(i, s.splat_i32(7)))
            load_part(&case.a, 7.0) load_part(&case.b[..5], 7.0) load_part(&case.b[..0], 7.0)
            load_part(&case.b[..13], -1.0)
        }
        // SAFETY: the array has 16 elements.
        let half =
            s.mul_add_half(s.lower_half(a), unsafe { s.load_half_ptr(case.b.as_ptr()) }, s.splat_half(2.5));
        out.push(("half", bits(s.to_array(s.widen_half(half)))));
        let small = s.clamp(a, s.splat(-1.0e9), s.splat(1.0e9));
        let small = s.select(s.is_nan(a), s.zero(), small);
        let exponent = s.sub_i32(s.and(i, s.splat_i32(127)), s.splat_i32(100));
        ints! {
            splat_i32(-7) zero_i32() iota() select_i32(m, i, j) to_bits(c) add_i32(i, j) sub_i32(i, j)
            mul_i32(i, j) min_i32(i, j) max_i32(i, j) min_u32(i, j) max_u32(i, j) and(i, j) or(i, j) xor(i, j)
            shl(i, 0) shl(i, 7) shl(i, 31) shl(i, 32) shr(i, 0) shr(i, 9) shr(i, 33) sar(i, 0) sar(i, 5)
            sar(i, 31) sar(i, 40) shl_each(i, n) shr_each(i, n) sar_each(i, n)
            round_i32(small) trunc_i32(small) trunc_i32_sat(a)
        }
        out.push(("mask_bools", s.mask_bools(m).map(u32::from)));
        let bools = case.i.map(|i| (i as u32 >> 24) as u8 & case.mask as u8);
        assert_eq!(s.mask_bits(s.mask_from_bools(bools)), bools_as_bits(bools));
        assert_eq!(bools_as_bits(s.mask_bools(m)), case.mask);
        floats! { pow2(exponent) scale_pow2(a, exponent) }
        masks! {
            lt(a, b) le(a, b) eq(a, b) ne(a, b) gt(a, b) ge(a, b) is_nan(a) mask_from_bits(case.mask)
            mask_first(0) mask_first(1) mask_first(8) mask_first(11) mask_first(16) mask_first(99)
            mask_and(m, s.lt(a, b)) mask_or(m, s.lt(a, b)) mask_xor(m, s.lt(a, b)) mask_not(m)
            eq_i32(i, j) lt_i32(i, j) lt_u32(i, j) eq_i32(i, i)
        }
        values! { reduce_add(a) reduce_max(a) reduce_min(a) reduce_max(small) reduce_min(small)
        reduce_max_raw(small) reduce_min_raw(small) }
        let yes_no = [s.any(m), s.all(m), s.any(s.mask_first(0)), s.all(s.mask_first(16))];
        out.push(("any all", [u32::from_le_bytes(yes_no.map(u8::from)); 16]));
        out.push(("reduce_add_i32", [s.reduce_add_i32(i) as u32; 16]));
        out.extend(memory(s, case));
        out
    }
}

/// Bit `l` is set when byte `l` is not 0.
fn bools_as_bits(bools: [u8; 16]) -> u16 {
    bools.iter().rev().fold(0, |bits, &b| bits << 1 | u16::from(b != 0))
}

/// Loads, stores and gathers with masks, at odd addresses, next to bytes that must stay.
#[inline(always)]
fn memory<S: Simd>(s: S, case: &Case) -> Vec<Answer> {
    let (a, m, mut out) = (s.load(&case.a), s.mask_from_bits(case.mask), Vec::new());
    for width in 0..=16 {
        let mut buffer = [9.0f32; 20];
        s.store_part(a, &mut buffer[2..2 + width]);
        assert_eq!(bits(core::array::from_fn(|l| if l < width { buffer[l + 2] } else { 9.0 })), {
            bits(core::array::from_fn(|l| if l < width { case.a[l] } else { 9.0 }))
        });
        assert!(
            buffer[2 + width..].iter().chain(&buffer[..2]).all(|&x| x == 9.0),
            "wrote past {width} lanes"
        );
        // The slice ends where its allocation ends: a lane too many is an error that Miri sees.
        let exact: Vec<f32> = case.b[..width].to_vec();
        out.push(("load_part exact", bits(s.to_array(s.load_part(&exact, 3.0)))));
    }
    // SAFETY: the buffers have 16 elements, the indices are below 16.
    unsafe {
        let loaded = s.load_masked_ptr(case.c.as_ptr(), m, a);
        out.push(("load_masked", bits(s.to_array(loaded))));
        let loaded = s.load_masked_i32_ptr(case.j.as_ptr(), m, s.load_i32(&case.i));
        out.push(("load_masked_i32", s.to_array_i32(loaded).map(|x| x as u32)));
        let rows = core::array::from_fn(|r| case.b.as_ptr().add(r % 9));
        for (c, column) in s.load_columns(&rows).into_iter().enumerate() {
            let want: [f32; 16] = core::array::from_fn(|r| case.b[r % 9 + c]);
            assert_eq!(bits(s.to_array(column)), bits(want), "column {c}");
        }
        let index = s.and(s.load_i32(&case.i), s.splat_i32(15));
        out.push(("gather", bits(s.to_array(s.gather_ptr(case.b.as_ptr(), index)))));
        let back = s.sub_i32(index, s.splat_i32(15));
        out.push(("gather back", bits(s.to_array(s.gather_ptr(case.b.as_ptr().add(15), back)))));
        // Lanes off the mask hold indices that must not be followed.
        let wild = s.select_i32(m, index, s.splat_i32(i32::MAX / 8));
        out.push(("gather_masked", bits(s.to_array(s.gather_masked_ptr(case.b.as_ptr(), wild, m, a)))));
    }
    s.prefetch(case.a.as_ptr());
    let mut rows: [S::F32; 16] = [a; 16];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = s.splat(r as f32 * 16.0);
        *row = s.add(*row, s.to_f32(s.iota()));
    }
    let quads = [rows[1], rows[0], rows[2], rows[3]];
    for (i, quad) in s.transpose_quads(quads).into_iter().enumerate() {
        let want = core::array::from_fn(|lane| s.to_array(quads[lane % 4])[lane / 4 * 4 + i]);
        assert_eq!(bits(s.to_array(quad)), bits(want), "vector {i}");
    }
    let (low, high) = s.zip(rows[0], rows[1]);
    out.push(("zip", bits(s.to_array(low))));
    out.push(("zip", bits(s.to_array(high))));
    let (even, odd) = s.unzip(low, high);
    assert_eq!((s.to_array(even), s.to_array(odd)), (s.to_array(rows[0]), s.to_array(rows[1])));
    let (even, odd) = s.unzip(rows[0], rows[1]);
    out.push(("unzip", bits(s.to_array(even))));
    out.push(("unzip", bits(s.to_array(odd))));
    s.transpose(&mut rows);
    for row in rows {
        out.push(("transpose", bits(s.to_array(row))));
    }
    out
}

#[test]
fn levels_agree() {
    for level in Level::available() {
        println!("ran {}", level.name());
        for case in cases() {
            let expected = dispatch_at(Level::Scalar, Everything(&case));
            let got = dispatch_at(level, Everything(&case));
            assert_eq!(got.len(), expected.len());
            for (got, expected) in got.into_iter().zip(expected) {
                assert_eq!(got, expected, "{} differs from scalar for {case:?}", level.name());
            }
        }
    }
}

#[test]
fn scalar_is_what_rust_says() {
    for case in cases() {
        let answers = dispatch_at(Level::Scalar, Everything(&case));
        let find = |name: &str| answers.iter().find(|(n, _)| *n == name).unwrap().1;
        let each =
            |f: fn(f32, f32, f32) -> f32| bits(core::array::from_fn(|l| f(case.a[l], case.b[l], case.c[l])));
        assert_eq!(find("mul_add"), each(|a, b, c| a.mul_add(b, c)));
        let below = |i: usize, x: f32| if i < LANES / 2 { x } else { 0.0 };
        let half = core::array::from_fn(|i| below(i, case.a[i].mul_add(case.b[i], 2.5)));
        assert_eq!(find("half"), bits(half));
        assert_eq!(find("mul_sub"), each(|a, b, c| a.mul_add(b, -c)));
        assert_eq!(find("neg_mul_add"), each(|a, b, c| (-a).mul_add(b, c)));
        let both = |i: i32| if i & 16 == 0 { case.a[(i & 15) as usize] } else { case.b[(i & 15) as usize] };
        assert_eq!(find("lookup_pair"), bits(case.i.map(both)));
        assert_eq!(find("sqrt"), each(|a, _, _| a.sqrt()));
        assert_eq!(find("abs"), each(|a, _, _| a.abs()));
        assert_eq!(find("copysign"), each(|a, b, _| a.copysign(b)));
        assert_eq!(find("round_ties_even"), each(|a, _, _| a.round_ties_even()));
        assert_eq!(find("trunc"), each(|a, _, _| a.trunc()));
        assert_eq!(find("clamp"), each(|a, _, _| a.clamp(-1.0, 2.0)));
        let nan_or = |f: fn(f32, f32) -> f32| {
            bits(core::array::from_fn(|l| {
                let (a, b) = (case.a[l], case.b[l]);
                if a.is_nan() || b.is_nan() { f32::NAN } else { f(a, b) }
            }))
        };
        assert_eq!(find("max"), nan_or(|a, b| if a > b { a } else { b }));
        assert_eq!(find("min"), nan_or(|a, b| if a < b { a } else { b }));
        assert_eq!(find("trunc_i32_sat"), case.a.map(|a| a as i32 as u32));
        assert_eq!(find("lt_u32")[0].count_ones() as usize, {
            case.i.iter().zip(&case.j).filter(|&(&i, &j)| (i as u32) < j as u32).count()
        });
        let largest = case.a.iter().fold(f32::NEG_INFINITY, |m, &x| if m.is_nan() || x <= m { m } else { x });
        let got = f32::from_bits(find("reduce_max")[0]);
        assert!(got == largest || got.is_nan() && largest.is_nan(), "{got} for {:?}", case.a);
    }
}

#[test]
fn reduction_tree_is_fixed() {
    struct Sum<'a>(&'a [f32; 16]);
    impl Op for Sum<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            s.reduce_add(s.load(self.0))
        }
    }
    // 1e8 + 8 rounds to itself, so the order of the additions shows.
    let x = [1e8, 1.0, 3.0, 4.0, 3.0, 5.0, 7.0, 1.0, -1e8, 3.0, 2.0, 1.0, 4.0, 4.0, 1.0, 9.0];
    let mut t = x;
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            t[i] += t[i + half];
        }
    }
    for level in Level::available() {
        assert_eq!(dispatch_at(level, Sum(&x)).to_bits(), t[0].to_bits(), "{}", level.name());
    }
}

#[test]
fn forced_levels() {
    struct Name;
    impl Op for Name {
        type Output = &'static str;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> &'static str {
            S::LEVEL.name()
        }
    }
    let mut ran = Vec::new();
    for_each_level(|level| {
        assert_eq!((dispatch(Name), Level::current()), (level.name(), level));
        with_level(Level::Scalar, || assert_eq!(dispatch(Name), "scalar"));
        assert_eq!(dispatch(Name), level.name());
        ran.push(level);
    });
    assert_eq!(ran, Level::available().collect::<Vec<_>>());
    assert_eq!(ran[0], Level::Scalar);
    let caught = std::panic::catch_unwind(|| with_level(Level::Scalar, || panic!("inside")));
    assert!(caught.is_err());
    with_level(Level::Scalar, || ());
    for level in Level::ALL {
        if !level.is_available() {
            assert!(std::panic::catch_unwind(|| force_level(Some(level))).is_err());
        }
    }
}
