//! Products over pairs, before and after, and what counts as symmetric.

use super::mirror::Mirror;
use super::pairs;
use crate::ir::random::{keeps_meaning, same_results};
use crate::ir::{Builder, Dim, Epilogue, Graph, Inst, MapExpr, Op, ReduceKind, Shape, Tensor, ValueId};
use arbitrary::Unstructured;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use sofie_infer_runtime::{Act, DType};
use std::f32::consts::PI;

const RELU: Epilogue = Epilogue { bias: true, residual: false, act: Act::Relu };

fn noise() -> Vec<u8> {
    (0..1 << 16u32).map(|i: u32| (i.wrapping_mul(2654435761) >> 24) as u8).collect()
}

/// A value of each row and one of each column of pairs: `[1, n, 1, 1]` and `[1, 1, n, 1]`.
struct Ends {
    b: Builder,
    n: Dim,
}

impl Ends {
    fn of(n: Dim) -> Ends {
        Ends { b: Builder::new(), n }
    }

    fn input(&mut self, name: &str) -> (ValueId, ValueId) {
        let x = self.b.input(name, DType::F32, Shape::new(vec![self.n.clone()]));
        let mut along = |dims| self.b.reshape(x, Shape::new(dims)).unwrap();
        let (n, one) = (self.n.clone(), Dim::ONE);
        let row = along(vec![one.clone(), n.clone(), one.clone(), one.clone()]);
        (row, along(vec![one.clone(), one.clone(), n, one]))
    }

    fn binary(&mut self, f: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.b.binary(f, a, b).unwrap()
    }

    fn number(&mut self, f: Binary, a: ValueId, number: f32) -> ValueId {
        let number = self.b.scalar(number);
        self.binary(f, a, number)
    }

    /// `(a - b + π) mod 2π - π`.
    fn angle(&mut self, a: ValueId, b: ValueId, period: f32) -> ValueId {
        let d = self.binary(Binary::Sub, a, b);
        let shifted = self.number(Binary::Add, d, PI);
        let turns = self.number(Binary::Div, shifted, period);
        let turns = self.b.unary(Unary::Floor, turns).unwrap();
        let whole = self.number(Binary::Mul, turns, period);
        let inside = self.binary(Binary::Sub, shifted, whole);
        self.number(Binary::Sub, inside, PI)
    }

    /// `(a <= b) * a + (a > b) * b`.
    fn smaller(&mut self, a: ValueId, b: ValueId, other: Binary) -> ValueId {
        let mut part = |f, x| {
            let holds = self.binary(f, a, b);
            let holds = self.b.cast(holds, DType::F32).unwrap();
            self.binary(Binary::Mul, holds, x)
        };
        let (x, y) = (part(Binary::Le, a), part(other, b));
        self.binary(Binary::Add, x, y)
    }
}

fn is_symmetric(make: impl FnOnce(&mut Ends, (ValueId, ValueId)) -> ValueId) -> bool {
    let mut ends = Ends::of(Dim::Fixed(9));
    let x = ends.input("x");
    let v = make(&mut ends, x);
    Mirror::of(ends.b.graph()).is_symmetric(v, 1)
}

#[test]
fn sums_products_and_extremes_are_symmetric() {
    for f in [Binary::Add, Binary::Mul, Binary::Min, Binary::Max, Binary::Eq] {
        assert!(is_symmetric(|e, (a, b)| e.binary(f, a, b)), "{f:?}");
    }
    for f in [Binary::Sub, Binary::Div, Binary::Lt, Binary::Pow] {
        assert!(!is_symmetric(|e, (a, b)| e.binary(f, a, b)), "{f:?}");
    }
}

#[test]
fn a_difference_is_symmetric_where_its_sign_is_lost() {
    let of = |make: fn(&mut Ends, ValueId) -> ValueId| {
        is_symmetric(|e, (a, b)| {
            let d = e.binary(Binary::Sub, a, b);
            make(e, d)
        })
    };
    assert!(of(|e, d| e.binary(Binary::Mul, d, d)));
    assert!(of(|e, d| e.number(Binary::Pow, d, 4.0)));
    assert!(of(|e, d| e.b.unary(Unary::Abs, d).unwrap()));
    assert!(of(|e, d| {
        let sine = e.b.unary(Unary::Sin, d).unwrap();
        e.binary(Binary::Mul, sine, d)
    }));
    assert!(!of(|e, d| e.number(Binary::Pow, d, 3.0)));
    assert!(!of(|e, d| e.b.unary(Unary::Exp, d).unwrap()));
    assert!(!of(|e, d| e.number(Binary::Add, d, 1.0)));
    assert!(!of(|e, d| {
        let square = e.binary(Binary::Mul, d, d);
        e.binary(Binary::Add, square, d)
    }));
}

#[test]
fn a_difference_of_integers_has_no_sign_to_lose() {
    for t in [DType::U8, DType::I32] {
        assert!(!is_symmetric(|e, (a, b)| {
            let (a, b) = (e.b.cast(a, t).unwrap(), e.b.cast(b, t).unwrap());
            let d = e.binary(Binary::Sub, a, b);
            e.b.unary(Unary::Abs, d).unwrap()
        }));
    }
}

#[test]
fn a_wrapped_angle_is_symmetric_squared_and_only_if_the_period_is_twice_the_offset() {
    let squared = |period: f32| {
        is_symmetric(|e, (a, b)| {
            let d = e.angle(a, b, period);
            e.binary(Binary::Mul, d, d)
        })
    };
    assert!(squared(2.0 * PI) && !squared(PI));
    // At half a turn it is not odd.
    assert!(!is_symmetric(|e, (a, b)| {
        let (d, other) = (e.angle(a, b, 2.0 * PI), e.binary(Binary::Sub, a, b));
        e.binary(Binary::Mul, d, other)
    }));
    assert!(!is_symmetric(|e, (a, b)| e.angle(a, b, 2.0 * PI)));
}

#[test]
fn the_smaller_by_comparisons_is_symmetric_if_exactly_one_holds() {
    assert!(is_symmetric(|e, (a, b)| e.smaller(a, b, Binary::Gt)));
    assert!(!is_symmetric(|e, (a, b)| e.smaller(a, b, Binary::Ge)));
    assert!(!is_symmetric(|e, (a, b)| e.smaller(a, b, Binary::Lt)));
}

#[test]
fn a_sum_over_other_axes_keeps_the_parity() {
    let of = |kind| {
        is_symmetric(|e, (a, b)| {
            let d = e.binary(Binary::Sub, a, b);
            e.b.one(Op::Reduce(kind, vec![3]), &[d]).unwrap()
        })
    };
    assert!(of(ReduceKind::SumSquare) && of(ReduceKind::L1) && of(ReduceKind::L2));
    assert!(!of(ReduceKind::Sum) && !of(ReduceKind::Max) && !of(ReduceKind::Prod));
    assert!(!is_symmetric(|e, (a, b)| {
        let sum = e.binary(Binary::Add, a, b);
        e.b.one(Op::Reduce(ReduceKind::Max, vec![2]), &[sum]).unwrap()
    }));
}

#[test]
fn a_sum_with_its_transpose_is_symmetric() {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[3, 9, 9]));
    let turned = b.transpose(x, &[0, 2, 1]).unwrap();
    let sum = b.binary(Binary::Add, x, turned).unwrap();
    let mut mirror = Mirror::of(b.graph());
    assert!(mirror.is_symmetric(sum, 1) && !mirror.is_symmetric(x, 1) && !mirror.is_symmetric(sum, 0));
}

/// Two layers over distances and sums of `n` points, and what is added to them behind: something of each column.
fn network(n: Dim, symmetric: bool) -> Graph {
    let mut e = Ends::of(n.clone());
    let (eta, phi, pt) = (e.input("eta"), e.input("phi"), e.input("pt"));
    let d = e.binary(Binary::Sub, eta.0, eta.1);
    let angle = e.angle(phi.0, phi.1, 2.0 * PI);
    let squares = [d, angle].map(|d| e.binary(Binary::Mul, d, d));
    let distance = e.binary(Binary::Add, squares[0], squares[1]);
    let least = e.smaller(pt.0, pt.1, Binary::Gt);
    let both = if symmetric { e.binary(Binary::Add, pt.0, pt.1) } else { e.binary(Binary::Sub, pt.0, pt.1) };
    let mut b = e.b;
    let x = b.one(Op::Concat(3), &[distance, least, both]).unwrap();
    let mut weights = |dims: &[usize]| {
        let len = dims.iter().product::<usize>();
        let values: Vec<_> = (0..len).map(|i| (i * 37 % 41) as f32 / 64.0 - 0.3).collect();
        b.tensor(Tensor::of(dims, &values))
    };
    let (first, bias, second) = (weights(&[1, 1, 3, 96]), weights(&[96]), weights(&[1, 1, 96, 8]));
    let y = b.one(Op::MatMul(RELU), &[x, first, bias]).unwrap();
    let y = b.one(Op::MatMul(Epilogue::NONE), &[y, second]).unwrap();
    let heads = b.transpose(y, &[0, 3, 1, 2]).unwrap();
    let column = b.reshape(eta.1, Shape::new(vec![Dim::ONE, Dim::ONE, Dim::ONE, n])).unwrap();
    let y = b.binary(Binary::Add, heads, column).unwrap();
    b.output("y", y);
    b.finish()
}

#[test]
fn products_of_pairs_are_made_for_one_of_two() {
    for n in [8usize, 9, 16, 21] {
        let before = network(Dim::from(n), true);
        keeps_meaning(&before, pairs, 1e-5, &mut Unstructured::new(&noise())).unwrap();
        let text = pairs(&before).unwrap().to_string();
        let rows = format!("f32[1, {n}, {}, 96] = matmul", n / 2 + 1);
        assert!(text.contains(&rows) && !text.contains(&format!("f32[1, {n}, {n}, 96]")), "{text}");
        // Put back before the heads are turned to the front: rows of eight, not single elements.
        assert!(text.contains(&format!("f32[1, {n}, {n}, 8] = gather axis=1")), "{text}");
    }
}

#[test]
fn free_extents_are_cut_as_well() {
    let before = network(Dim::bounded("n", 0, 64), true);
    let after = pairs(&before).unwrap();
    assert!(after.to_string().contains("f32[1, n, floor((n)/(2)) + 1, 96] = matmul"), "{after}");
    for seed in 0..6u8 {
        let noise: Vec<u8> = noise().iter().map(|b| b.wrapping_mul(seed.wrapping_mul(2) + 1)).collect();
        keeps_meaning(&before, pairs, 1e-5, &mut Unstructured::new(&noise)).unwrap();
    }
}

#[test]
fn what_is_not_symmetric_or_too_small_stays() {
    for g in [network(Dim::Fixed(16), false), network(Dim::Fixed(4), true)] {
        assert_eq!(pairs(&g).unwrap(), g);
    }
}

#[test]
fn nothing_is_lost_where_a_particle_is_not_finite() {
    let before = network(Dim::Fixed(12), true);
    let after = pairs(&before).unwrap();
    for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for port in 0..3 {
            let mut inputs: Vec<_> =
                (0..3).map(|k| (0..12).map(|i| (i * 7 % 12 + k) as f32 / 8.0).collect()).collect();
            let values: &mut Vec<f32> = &mut inputs[port];
            values[5] = special;
            let inputs: Vec<_> = inputs.iter().map(|x: &Vec<f32>| Tensor::of(&[12], x)).collect();
            same_results(&before, &after, &inputs, 1e-5).unwrap();
        }
    }
}

/// An index along the pairs says who is first.
#[test]
fn a_position_is_not_symmetric() {
    let mut e = MapExpr::over(&[DType::F32]);
    let (x, i) = (e.push(Inst::Input(0)).unwrap(), e.push(Inst::Iota(1)).unwrap());
    let i = e.push(Inst::Cast(DType::F32, i)).unwrap();
    let scale = e.push(Inst::Const(Scalar::from(0.5f32))).unwrap();
    let i = e.push(Inst::Binary(Binary::Mul, i, scale)).unwrap();
    let sum = e.push(Inst::Binary(Binary::Add, x, i)).unwrap();
    assert!(!is_symmetric(|ends, (a, b)| {
        let both = ends.binary(Binary::Add, a, b);
        ends.b.map(e.finish(sum), &[both]).unwrap()
    }));
}
