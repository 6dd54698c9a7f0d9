//! Which pairs are left of all pairs of n, and where each of all is among them: integers made of n alone, folded where it
//! is a number and computed by the program where it is free.

use crate::ir::{Builder, Dim, Inst, Invalid, MapExpr, Op, ReduceKind, Reg, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// The indices (i32: pairs that do not fit would be gigabytes) that pairs are taken and put back by.
pub struct Index {
    /// How many pairs of each row are left.
    pub left: Dim,
    /// `[n, left]`: where each pair is among all.
    pub taken: ValueId,
    /// `[n, n]`: where the pair, or the one with its ends exchanged, is among those that are left.
    pub back: ValueId,
}

impl Index {
    /// For pairs of `n`.
    pub fn of(b: &mut Builder, n: &Dim) -> Result<Index, Invalid> {
        let left = n.floor_div(&Dim::Fixed(2))?.add(&Dim::ONE)?;
        let len = len(b, n)?;
        let cut = Shape::new(vec![n.clone(), left.clone()]);
        let all = Shape::new(vec![n.clone(), n.clone()]);
        let taken = index(b, &cut, len, Formula::taken)?;
        let back = index(b, &all, len, Formula::back)?;
        let (taken, back) = (b.cast(taken, DType::I32)?, b.cast(back, DType::I32)?);
        Ok(Index { left, taken, back })
    }
}

/// `n` as a value: `[1, 1]`.
fn len(b: &mut Builder, n: &Dim) -> Result<ValueId, Invalid> {
    if let Dim::Fixed(n) = n {
        let n = b.scalar(*n);
        return b.to_rank(n, 2);
    }
    let one = b.scalar(1i64);
    let rows = index(b, &Shape::new(vec![n.clone(), Dim::ONE]), one, |f| {
        let i = f.push(Inst::Iota(0))?;
        f.binary(Binary::Add, i, LEN)
    })?;
    b.one(Op::Reduce(ReduceKind::Max, vec![0]), &[rows])
}

/// An index of that shape by a formula of its axes and `len`.
fn index(
    b: &mut Builder,
    shape: &Shape,
    len: ValueId,
    formula: impl FnOnce(&mut Formula) -> Result<Reg, Invalid>,
) -> Result<ValueId, Invalid> {
    let mut f = Formula(MapExpr::over(&[DType::I64, DType::I64]));
    f.push(Inst::Input(0))?;
    let at = f.push(Inst::Input(1))?;
    debug_assert_eq!(at, LEN);
    let result = formula(&mut f)?;
    // An operand that is there for its shape alone.
    let result = f.binary(Binary::Add, result, SHAPE)?;
    let zero = b.scalar(0i64);
    let zeros = b.broadcast(zero, shape)?;
    b.map(f.0.finish(result), &[zeros, len])
}

/// Zero, with the index's shape.
const SHAPE: Reg = 0;
/// The number of rows.
const LEN: Reg = 1;

/// Integer arithmetic over the axes of an index.
struct Formula(MapExpr);

impl Formula {
    fn push(&mut self, inst: Inst) -> Result<Reg, Invalid> {
        self.0.push(inst)
    }

    fn number(&mut self, n: i64) -> Result<Reg, Invalid> {
        self.push(Inst::Const(Scalar::from(n)))
    }

    fn binary(&mut self, f: Binary, a: Reg, b: Reg) -> Result<Reg, Invalid> {
        self.push(Inst::Binary(f, a, b))
    }

    /// `c ? a : b`.
    fn select(&mut self, c: Reg, a: Reg, b: Reg) -> Result<Reg, Invalid> {
        self.push(Inst::Select(c, a, b))
    }

    /// Where `(i, i + d mod n)` is among all, over `[i, d]`, where d is at most n.
    fn taken(&mut self) -> Result<Reg, Invalid> {
        let (i, d) = (self.push(Inst::Iota(0))?, self.push(Inst::Iota(1))?);
        let sum = self.binary(Binary::Add, i, d)?;
        let less = self.binary(Binary::Sub, sum, LEN)?;
        let inside = self.binary(Binary::Lt, sum, LEN)?;
        let second = self.select(inside, sum, less)?;
        let row = self.binary(Binary::Mul, i, LEN)?;
        self.binary(Binary::Add, row, second)
    }

    /// Where `(i, j)` is: in row i at `d = j - i mod n`, if that is at most n / 2, else in row j at `n - d`.
    fn back(&mut self) -> Result<Reg, Invalid> {
        let (i, j) = (self.push(Inst::Iota(0))?, self.push(Inst::Iota(1))?);
        let (one, two) = (self.number(1)?, self.number(2)?);
        let half = self.binary(Binary::Div, LEN, two)?;
        let left = self.binary(Binary::Add, half, one)?;
        let apart = self.binary(Binary::Sub, j, i)?;
        let around = self.binary(Binary::Add, apart, LEN)?;
        let before = self.binary(Binary::Lt, j, i)?;
        let d = self.select(before, around, apart)?;
        let rest = self.binary(Binary::Sub, LEN, d)?;
        let own = self.binary(Binary::Lt, d, left)?;
        let (row, place) = (self.select(own, i, j)?, self.select(own, d, rest)?);
        let row = self.binary(Binary::Mul, row, left)?;
        self.binary(Binary::Add, row, place)
    }
}
