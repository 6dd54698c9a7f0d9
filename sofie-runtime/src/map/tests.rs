//! Maps against one scalar at a time: random expressions of all types over random views, at every level.

use super::placed_tests::placed;
use super::*;
use crate::copy::Strided;
use crate::simd::for_each_level;
use crate::{DType, bf16, f16};
use proptest::prelude::*;

/// Runs `$body` with `$T` standing for the Rust type of `$dtype`.
macro_rules! with_type {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::F16 => {
                type $T = f16;
                $body
            }
            DType::BF16 => {
                type $T = bf16;
                $body
            }
            DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            DType::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}

/// Elements of some type in memory that is aligned for any.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    dtype: DType,
    len: usize,
    memory: Vec<u64>,
}

impl Buffer {
    pub(super) fn new(dtype: DType, elements: impl IntoIterator<Item = Scalar>) -> Buffer {
        let elements: Vec<_> = elements.into_iter().collect();
        let mut b = Buffer { dtype, len: elements.len(), memory: vec![0; elements.len() + 1] };
        elements.into_iter().enumerate().for_each(|(i, x)| b.set(i, x));
        b
    }

    fn set(&mut self, i: usize, x: Scalar) {
        assert!(i < self.len && x.dtype == self.dtype);
        let memory: *mut u8 = self.memory.as_mut_ptr().cast();
        // SAFETY: the memory has 8 bytes an element.
        unsafe {
            match x.dtype.size() {
                1 => *memory.add(i) = x.bits as u8,
                2 => *memory.cast::<u16>().add(i) = x.bits as u16,
                4 => *memory.cast::<u32>().add(i) = x.bits as u32,
                _ => *memory.cast::<u64>().add(i) = x.bits,
            }
        }
    }

    fn get(&self, i: usize) -> Scalar {
        assert!(i < self.len);
        let memory: *const u8 = self.memory.as_ptr().cast();
        // SAFETY: as above.
        let bits = unsafe {
            match self.dtype.size() {
                1 => *memory.add(i) as u64,
                2 => *memory.cast::<u16>().add(i) as u64,
                4 => *memory.cast::<u32>().add(i) as u64,
                _ => *memory.cast::<u64>().add(i),
            }
        };
        Scalar { dtype: self.dtype, bits }
    }

    fn src(&self) -> Src<'_> {
        // SAFETY: as above; bools are 0 or 1.
        with_type!(self.dtype, T => unsafe { core::slice::from_raw_parts(self.memory.as_ptr().cast::<T>(), self.len) }.into())
    }

    fn dst(&mut self) -> Dst<'_> {
        // SAFETY: as above.
        with_type!(self.dtype, T => unsafe { core::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast::<T>(), self.len) }.into())
    }

    /// Two elements may differ in a NaN's payload.
    fn assert_same(&self, other: &Buffer, what: &str) {
        for i in 0..self.len {
            let (a, b) = (self.get(i), other.get(i));
            let nan = self.dtype.is_float() && a.to_f64().is_nan() && b.to_f64().is_nan();
            assert!(a == b || nan, "{what}: element {i} is {} instead of {}", a.to_f64(), b.to_f64());
        }
    }
}

/// A number of every magnitude, in any type.
pub(super) fn number(dtype: DType, seed: u64) -> Scalar {
    let h = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let x = match h % 11 {
        0 => 0.0,
        1 => f64::NAN,
        2 => f64::INFINITY,
        3 => -1.0,
        4 => (h >> 8) as f64,
        _ => (h >> 8) as f64 / 1e9 - 17.0,
    };
    if dtype == DType::Bool { (h & 256 != 0).into() } else { Scalar::from_f64(dtype, x) }
}

/// The expression of one element.
fn scalar_value(values: &[Value], inputs: &[Scalar]) -> Scalar {
    let mut v: Vec<Scalar> = vec![];
    for value in values {
        let x = match *value {
            Value::Input(i) => inputs[i],
            Value::Const(x) => x,
            Value::Unary(op, a) => unary(op, v[a]),
            Value::Binary(op, a, b) => binary(op, v[a], v[b]),
            Value::MulAdd(a, b, c) => mul_add(v[a], v[b], v[c]),
            Value::Select(m, a, b) => {
                if v[m].bits != 0 {
                    v[a]
                } else {
                    v[b]
                }
            }
            Value::Cast(to, a) => cast(v[a], to),
            Value::Combined(..) => unreachable!("only compiling makes them"),
        };
        v.push(x);
    }
    v[v.len() - 1]
}

/// All coordinates below `dims`, in order.
fn coordinates(dims: &[usize]) -> Vec<Vec<usize>> {
    dims.iter().fold(vec![vec![]], |all, &dim| {
        all.into_iter().flat_map(|c| (0..dim).map(move |i| [&c[..], &[i]].concat())).collect()
    })
}

fn position(view: &Strided, c: &[usize]) -> usize {
    let walk: isize = view.strides().iter().zip(c).map(|(s, &i)| s * i as isize).sum();
    (view.offset() + walk) as usize
}

/// The element of an operand at coordinates.
fn fetch(view: &View, out: (&Strided, &Buffer), slices: &[Buffer], c: &[usize]) -> Scalar {
    match *view {
        View::Slice(s, v) => slices[s as usize].get(position(v, c)),
        View::Out => out.1.get(position(out.0, c)),
        View::Position(v) => (position(v, c) as i64).into(),
        View::Indexed { slice, index, extent, step, .. } => {
            let k = slices[index.0 as usize].get(position(index.1, c)).to_f64() as isize;
            let k = if k < 0 { k + extent as isize } else { k };
            slices[slice.0 as usize].get((position(slice.1, c) as isize + k * step) as usize)
        }
    }
}

/// Runs a map at every level and compares it with the scalars.
pub(super) fn check(values: &[Value], inputs: &[DType], out: &Strided, views: &[View], slices: &[Buffer]) {
    let program = MapProgram::compile(values, inputs).unwrap();
    let dtype = program.result();
    let spec = MapSpec::of_views(out, views, program).unwrap();
    let map = Map::new(spec);
    let placed = placed(&map, out, views);
    let last = coordinates(out.dims()).iter().map(|c| position(out, c) + 1).max().unwrap_or(0);
    let before = Buffer::new(dtype, (0..last + 3).map(|i| number(dtype, i as u64 + 99)));
    let mut want = before.clone();
    for c in coordinates(out.dims()) {
        let inputs: Vec<_> = views.iter().map(|v| fetch(v, (out, &before), slices, &c)).collect();
        want.set(position(out, &c), scalar_value(values, &inputs));
    }
    let sources: Vec<_> = slices.iter().map(Buffer::src).collect();
    for_each_level(|level| {
        let mut got = before.clone();
        map.run(got.dst(), &sources);
        got.assert_same(&want, &format!("{values:?} over {:?} at {}", out.dims(), level.name()));
        let mut got = before.clone();
        placed.run(got.dst(), &sources);
        got.assert_same(&want, &format!("{values:?} placed at {:?}", out.dims()));
    });
}

/// A chain of operations that ends in type `to`, starting from `inputs`, chosen by `seed`.
fn expression(inputs: &[DType], seed: u64, steps: usize) -> Vec<Value> {
    use Unary::*;
    let unaries = [
        Neg, Abs, Sign, Sqrt, Exp, Tanh, Relu, Not, BitNot, IsNan, Floor, Round, Erf, Sigmoid, Reciprocal,
        Log,
    ];
    let binaries = {
        use Binary::*;
        [Add, Sub, Mul, Div, Min, Max, Pow, Mod, Fmod, And, Or, Xor, Shl, Shr, Eq, Ne, Lt, Le, Gt, Ge]
    };
    let mut state = seed;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut values: Vec<Value> = (0..inputs.len()).map(Value::Input).collect();
    let mut types = inputs.to_vec();
    for _ in 0..steps {
        let a = next(types.len());
        let t = types[a];
        let of =
            |types: &[DType], want: DType| (0..types.len()).filter(|&i| types[i] == want).collect::<Vec<_>>();
        let same = of(&types, t);
        let (b, c) = (same[next(same.len())], same[next(same.len())]);
        let masks = of(&types, DType::Bool);
        let (value, dtype) = match next(7) {
            0 => {
                let ops: Vec<_> = unaries.iter().filter(|op| op.supports(t)).collect();
                let op = *ops[next(ops.len())];
                (Value::Unary(op, a), op.result(t))
            }
            1 | 2 => {
                let ops: Vec<_> = binaries.iter().filter(|op| op.supports(t)).collect();
                let op = *ops[next(ops.len())];
                (Value::Binary(op, a, b), op.result(t))
            }
            3 if t.is_float() => (Value::MulAdd(a, b, c), t),
            4 if !masks.is_empty() => (Value::Select(masks[next(masks.len())], a, b), t),
            5 => {
                let to = DType::ALL[next(13)];
                (Value::Cast(to, a), to)
            }
            _ => (Value::Const(number(t, seed ^ next(1 << 20) as u64)), t),
        };
        values.push(value);
        types.push(dtype);
    }
    values
}

/// A view of a new buffer of the extents `dims`: dense, transposed, padded, reversed or broadcast, by `seed`.
fn view(dtype: DType, dims: &[usize], seed: u64) -> (Strided, Buffer) {
    let mut order: Vec<usize> = (0..dims.len()).collect();
    if seed & 1 == 1 {
        order.reverse();
    }
    let (mut strides, mut step, mut offset) = (vec![0isize; dims.len()], 1 + (seed >> 8 & 1) as isize, 2);
    for &a in order.iter().rev() {
        let broadcast = seed >> (16 + a) & 3 == 0;
        let reversed = seed >> (32 + a) & 7 == 0;
        if broadcast {
            continue;
        }
        strides[a] = step;
        let dim = dims[a] as isize;
        if reversed && dim > 0 {
            (strides[a], offset) = (-step, offset + step * (dim - 1));
        }
        step *= dim.max(1);
        step += (seed >> (48 + a) & 3 == 0) as isize;
    }
    let len = 3 * step as usize + 8 + offset as usize;
    let buffer = Buffer::new(dtype, (0..len).map(|i| number(dtype, seed ^ i as u64)));
    (Strided::new(dims, &strides, offset as usize).unwrap(), buffer)
}

fn dims() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        (0usize..40).prop_map(|n| vec![n]),
        (250usize..600).prop_map(|n| vec![n]),
        (0usize..9, 1usize..40).prop_map(|(a, b)| vec![a, b]),
        (1usize..90, 1usize..7).prop_map(|(a, b)| vec![a, b]),
        (1usize..4, 120usize..300).prop_map(|(a, b)| vec![a, b]),
        (1usize..5, 1usize..5, 1usize..20).prop_map(|(a, b, c)| vec![a, b, c]),
        (1usize..3, 1usize..40, 1usize..4, 1usize..6).prop_map(|(a, b, c, d)| vec![a, b, c, d]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_expression_over_any_views(dims in dims(), seeds: [u64; 5], steps in 0usize..7, n in 1usize..4) {
        let mut inputs: Vec<DType> = seeds[..n].iter().map(|s| DType::ALL[(*s % 13) as usize]).collect();
        let operands: Vec<_> = inputs.iter().zip(seeds).map(|(&t, s)| view(t, &dims, s)).collect();
        let slices: Vec<Buffer> = operands.iter().map(|o| o.1.clone()).collect();
        let mut views: Vec<View> = operands.iter().enumerate().map(|(i, o)| View::Slice(i as u8, &o.0)).collect();
        let counted = view(DType::Bool, &dims, seeds[3]).0;
        if seeds[4] % 3 == 0 {
            inputs.push(DType::I64);
            views.push(View::Position(&counted));
        }
        let values = expression(&inputs, seeds[4], steps);
        // The result: dense, or in every other element of rows with a gap.
        let mut out = Strided::dense(&dims).unwrap();
        if seeds[4] >> 8 & 1 == 1 {
            let mut step = 1 + (seeds[4] >> 9 & 1) as isize;
            let strides: Vec<isize> = dims.iter().rev().map(|&d| { let s = step; step = step * d.max(1) as isize + 1; s }).collect();
            out = Strided::new(&dims, &strides.into_iter().rev().collect::<Vec<_>>(), 3).unwrap();
        }
        check(&values, &inputs, &out, &views, &slices);
    }

    #[test]
    fn in_place(dims in dims(), seed: u64, t in 0usize..13, steps in 1usize..6) {
        let inputs = [DType::ALL[t], DType::ALL[t]];
        let (other, buffer) = view(DType::ALL[t], &dims, seed);
        let mut values = expression(&inputs, seed, steps);
        values.push(Value::Cast(DType::ALL[t], values.len() - 1));
        let out = Strided::dense(&dims).unwrap();
        check(&values, &inputs, &out, &[View::Out, View::Slice(0, &other)], &[buffer]);
    }

    #[test]
    fn indexed_operands(rows in 1usize..40, k in 1usize..5, cols in 1usize..70, t in 0usize..13, wide: bool, seed: u64) {
        // x [points, cols] by index [rows, k], an axis of cols inside or (transposed) outside.
        let points = 7;
        let cols = if wide { cols + 240 } else { cols };
        let dims = if seed & 1 == 1 { [rows, k, cols] } else { [cols, rows, k] };
        let (per_row, per_element) = ([0, 0, 1], [1, 0, 0]);
        let x = Strided::new(&dims, if seed & 1 == 1 { &per_row } else { &per_element }, 0).unwrap();
        let index_strides: [isize; 3] = if seed & 1 == 1 { [k as isize, 1, 0] } else { [0, k as isize, 1] };
        let index = Strided::new(&dims, &index_strides, 0).unwrap();
        let index_type = if seed & 2 == 0 { DType::I64 } else { DType::I32 };
        let indices = (0..rows * k).map(|i| Scalar::from_f64(index_type, ((seed >> 3) as usize + i * i) as f64 % 14.0 - 7.0));
        let slices = [
            Buffer::new(DType::ALL[t], (0..points * cols).map(|i| number(DType::ALL[t], seed ^ i as u64))),
            Buffer::new(index_type, indices),
        ];
        let views = [View::Indexed { slice: (0, &x), index: (1, &index), index_type, extent: points, step: cols as isize }];
        let values = expression(&[DType::ALL[t]], seed, 2);
        check(&values, &[DType::ALL[t]], &Strided::dense(&dims).unwrap(), &views, &slices);
    }
}

/// Blocks of `f32` are longer than those of `i64`: constants that nothing reads once wrote past their room.
#[test]
fn constants_that_nothing_reads_take_no_room() {
    let constant = |x: i64| Value::Const(x.into());
    let values = [Value::Input(0), constant(48), constant(49), Value::Unary(Unary::Neg, 0)];
    let dims = Strided::dense(&[256]).unwrap();
    let slices = [Buffer::new(DType::F32, (0..256).map(|i| number(DType::F32, i)))];
    check(&values, &[DType::F32], &dims, &[View::Slice(0, &dims)], &slices);
    assert!(MapProgram::compile(&values, &[DType::F32]).unwrap().consts().is_empty());
}

#[test]
fn few_columns_that_lie_apart() {
    for dtype in [DType::U8, DType::F16, DType::F32, DType::F64] {
        for (rows, columns) in [(40, 3), (700, 4), (5, 2), (3, 5)] {
            let dense = Strided::dense(&[rows, columns]).unwrap();
            let apart = Strided::new(&[rows, columns], &[1, rows as isize], 0).unwrap();
            let x = Buffer::new(dtype, (0..rows * columns).map(|i| number(dtype, i as u64)));
            let sum = [Value::Input(0), Value::Binary(Binary::Add, 0, 0)];
            for (out, view) in [(&dense, &apart), (&apart, &dense), (&apart, &apart)] {
                check(&sum, &[dtype], out, &[View::Slice(0, view)], core::slice::from_ref(&x));
            }
        }
    }
}

#[test]
fn many_strided_operands_fit_the_interpreters_memory() {
    // Each operand needs a home, along one axis and along two.
    for dims in [vec![5000], vec![70, 90], vec![3, 1700]] {
        let n: usize = dims.iter().product();
        let dense = Strided::dense(&dims).unwrap();
        let strides: Vec<isize> = dense.strides().iter().map(|s| s * 2).collect();
        let strided = Strided::new(&dims, &strides, 0).unwrap();
        for count in [1, 3, 12] {
            let slices: Vec<_> = (0..count)
                .map(|i| Buffer::new(DType::F32, (0..2 * n).map(|j| number(DType::F32, (i * 31 + j) as u64))))
                .collect();
            let views: Vec<_> = (0..count).map(|i| View::Slice(i as u8, &strided)).collect();
            let mut values: Vec<Value> = (0..count).map(Value::Input).collect();
            values.push(Value::Unary(Unary::Neg, 0));
            for i in 1..count {
                values.push(Value::Binary(Binary::Max, values.len() - 1, i));
            }
            check(&values, &vec![DType::F32; count], &dense, &views, &slices);
        }
    }
}

#[test]
fn every_operation_on_every_type() {
    let n = 37;
    let dims = Strided::dense(&[n]).unwrap();
    for t in DType::ALL {
        let slices = [0, 1].map(|s| Buffer::new(t, (0..n).map(|i| number(t, s * 1000 + 7 * i as u64))));
        let views = [View::Slice(0, &dims), View::Slice(1, &dims)];
        use Unary::*;
        for op in [
            Neg, Abs, Sign, Reciprocal, Sqrt, Exp, Expm1, Log, Log1p, Sin, Cos, Tan, Asin, Acos, Atan, Sinh,
            Cosh, Tanh, Asinh, Acosh, Atanh, Erf, Sigmoid, Softplus, Silu, GeluErf, GeluTanh, Relu, Floor,
            Ceil, Round, Trunc, Not, BitNot, IsNan, IsPosInf, IsNegInf,
        ] {
            if op.supports(t) {
                check(&[Value::Input(0), Value::Unary(op, 0)], &[t], &dims, &views[..1], &slices);
            }
        }
        {
            use Binary::*;
            for op in
                [Add, Sub, Mul, Div, Min, Max, Pow, Mod, Fmod, And, Or, Xor, Shl, Shr, Eq, Ne, Lt, Le, Gt, Ge]
            {
                if op.supports(t) {
                    check(
                        &[Value::Input(0), Value::Input(1), Value::Binary(op, 0, 1)],
                        &[t, t],
                        &dims,
                        &views,
                        &slices,
                    );
                }
            }
        }
        for to in DType::ALL {
            check(&[Value::Input(0), Value::Cast(to, 0)], &[t], &dims, &views[..1], &slices);
        }
    }
}

/// In one instruction and in seven; by a scale of 0 as well, and to where numbers no longer fit.
#[test]
fn quantisation_is_that_of_its_steps() {
    let n = 77;
    let dims = Strided::dense(&[n]).unwrap();
    let x = Buffer::new(DType::F32, (0..n).map(|i| number(DType::F32, i as u64)));
    for to in [DType::I8, DType::U8, DType::I16, DType::U16] {
        for (scale, zero) in [(0.25, 3.0), (1e-4, -128.0), (0.0, 0.0), (1.5, f32::NAN)] {
            let mut values = vec![
                Value::Input(0),
                Value::Const(Scalar::f32(scale)),
                Value::Const(Scalar::f32(zero)),
                Value::Binary(Binary::Div, 0, 1),
                Value::Unary(Unary::Round, 3),
                Value::Binary(Binary::Add, 4, 2),
                Value::Cast(to, 5),
                Value::Cast(DType::F32, 6),
                Value::Binary(Binary::Sub, 7, 2),
                Value::Binary(Binary::Mul, 8, 1),
            ];
            for _ in 0..3 {
                check(&values, &[DType::F32], &dims, &[View::Slice(0, &dims)], std::slice::from_ref(&x));
                values.pop();
            }
            if to == DType::I8 {
                values.extend([
                    Value::Cast(DType::I32, 6),
                    Value::Const(Scalar::from_f64(DType::I32, 128.0)),
                    Value::Binary(Binary::Add, 7, 8),
                    Value::Cast(DType::U8, 9),
                ]);
                check(&values, &[DType::F32], &dims, &[View::Slice(0, &dims)], std::slice::from_ref(&x));
            }
        }
    }
}

#[test]
fn activations_with_a_bend_are_those_of_their_steps() {
    let n = 77;
    let dims = Strided::dense(&[n]).unwrap();
    let x = Buffer::new(DType::F32, (0..n).map(|i| number(DType::F32, i as u64)));
    for slope in [0.1, 1.673_263_2, -2.0, 0.0, f32::INFINITY, f32::NAN] {
        let head = [Value::Input(0), Value::Const(Scalar::f32(0.0)), Value::Const(Scalar::f32(slope))];
        let tails = [
            vec![Value::Binary(Binary::Lt, 0, 1), Value::Binary(Binary::Mul, 0, 2), Value::Select(3, 4, 0)],
            vec![
                Value::Binary(Binary::Ge, 0, 1),
                Value::Unary(Unary::Expm1, 0),
                Value::Binary(Binary::Mul, 2, 4),
                Value::Select(3, 0, 5),
            ],
            vec![Value::Binary(Binary::Max, 0, 1), Value::Binary(Binary::Min, 3, 2)],
        ];
        for tail in tails {
            let values = [&head[..], &tail].concat();
            check(&values, &[DType::F32], &dims, &[View::Slice(0, &dims)], std::slice::from_ref(&x));
        }
    }
}

#[test]
fn programs_reuse_registers_and_refuse_what_is_too_large() {
    let f = [DType::F32];
    let mut chain = vec![Value::Input(0)];
    chain.extend((0..100).map(|i| Value::Unary(Unary::Neg, i)));
    assert_eq!(MapProgram::compile(&chain, &f).unwrap().registers(), 1);
    // All of 17 live until they are added up.
    let wide = |n: usize| {
        let mut v = vec![Value::Input(0)];
        v.extend((0..n).map(|_| Value::Unary(Unary::Neg, 0)));
        v.extend((0..n - 1).map(|i| Value::Binary(Binary::Add, i + 1, if i == 0 { n } else { n + i })));
        MapProgram::compile(&v, &f)
    };
    assert_eq!(wide(16).unwrap().registers(), 16);
    assert_eq!(wide(17), Err(CompileError::Registers));
    let consts = (0..17).map(|i| Value::Const((i as f32).into()));
    let adds = (0..17).map(|i| Value::Binary(Binary::Add, i + 1, if i == 0 { 0 } else { i + 17 }));
    let all: Vec<_> = [Value::Input(0)].into_iter().chain(consts).chain(adds).collect();
    assert_eq!(MapProgram::compile(&all, &f), Err(CompileError::Consts));
    assert_eq!(MapProgram::compile(&[], &f), Err(CompileError::Malformed(0)));
    assert_eq!(MapProgram::compile(&[Value::Unary(Unary::Neg, 0)], &f), Err(CompileError::Malformed(0)));
    let not = [Value::Input(0), Value::Unary(Unary::Not, 0)];
    assert_eq!(MapProgram::compile(&not, &f), Err(CompileError::Malformed(1)));
    // What the result does not need takes neither instruction nor register.
    let dead = [Value::Input(0), Value::Unary(Unary::Exp, 0), Value::Unary(Unary::Neg, 0)];
    assert_eq!(MapProgram::compile(&dead, &f).unwrap().insts().len(), 1);
}

#[test]
fn a_map_is_a_constant() {
    static DOUBLE: Map = Map::new(MapSpec {
        rank: 1,
        dims: [3, 1, 1, 1, 1, 1, 1, 1],
        out_strides: [1, 0, 0, 0, 0, 0, 0, 0],
        out_offset: 0,
        operands: alloc::borrow::Cow::Borrowed(&[Operand {
            source: Source::Slice(0),
            strides: [1, 0, 0, 0, 0, 0, 0, 0],
            offset: 0,
        }]),
        program: MapProgram::new(
            alloc::borrow::Cow::Borrowed(&[Inst {
                code: Code::Binary(Binary::Add),
                dtype: DType::F32,
                dst: 0,
                args: [Arg::Input(0); 3],
            }]),
            alloc::borrow::Cow::Borrowed(&[]),
            alloc::borrow::Cow::Borrowed(&[DType::F32]),
        ),
    });
    let mut y = [0f32; 3];
    DOUBLE.run((&mut y[..]).into(), &[(&[1f32, 2., 3.][..]).into()]);
    assert_eq!(y, [2., 4., 6.]);
}

#[test]
#[should_panic(expected = "index 3 is outside an axis of 3")]
fn an_index_out_of_range_panics() {
    let dims = Strided::dense(&[2]).unwrap();
    let x = Strided::new(&[2], &[0], 0).unwrap();
    let view =
        View::Indexed { slice: (0, &x), index: (1, &dims), index_type: DType::I32, extent: 3, step: 1 };
    let program = MapProgram::compile(&[Value::Input(0)], &[DType::F32]).unwrap();
    let map = Map::new(MapSpec::of_views(&dims, &[view], program).unwrap());
    map.run((&mut [0f32; 2][..]).into(), &[(&[1f32, 2., 3.][..]).into(), (&[-3i32, 3][..]).into()]);
}

#[test]
#[should_panic(expected = "a slice is too short")]
fn a_short_slice_panics() {
    let dims = Strided::dense(&[4]).unwrap();
    let program = MapProgram::compile(&[Value::Input(0)], &[DType::F32]).unwrap();
    let map = Map::new(MapSpec::of_views(&dims, &[View::Slice(0, &dims)], program).unwrap());
    map.run((&mut [0f32; 4][..]).into(), &[(&[1f32, 2., 3.][..]).into()]);
}
