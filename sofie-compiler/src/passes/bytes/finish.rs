//! What a map does to the sums of a product of bytes, done by the product where it stores them: scaled, activations, what is
//! added, and quantised again, so that between two products there are bytes alone. Of a larger map the rest stays.

use super::operand::above_least_of;
use crate::ir::{Dim, Graph, Inst, Invalid, MapExpr, Node, Op, Plain, Reg, Rewriter, Shape, Tensor, ValueId};
use crate::passes::epilogue::{Quantised, activation, dequantised, number, only_reader, quantised, rest};
use crate::passes::pattern::{Uses, is_row, likely_len, until_stable};
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::plain::{self, ByteFinish, ByteStep, Steps};
use sofie_infer_runtime::{Act, DType};

/// Columns that the kernels read the operands by column in.
const PANEL: usize = 16;

/// Moves what products of bytes can do into them.
pub fn finish(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let Op::Map(e) = &node.op else { return Ok(None) };
            for (i, &v) in node.inputs.iter().enumerate() {
                let Some((product, finish)) = product_of_bytes(g, &uses, node, v) else { continue };
                let walk = Walk { g, e, inputs: &node.inputs, shape: g.shape(v) };
                let found = match finish {
                    None => walk.from(i),
                    Some(finish) => walk.on(i, finish),
                };
                let Some(found) = found else { continue };
                r.b.set_origin(&product.origin);
                r.b.add_origin(&node.origin);
                let y = finished(g, r, product, &found)?;
                let y = r.b.reshape(y, g.shape(v).clone())?;
                let inputs = r.get_all(&node.inputs)?;
                return rest(&mut r.b, e, &inputs, found.upto, y).map(|v| Some(vec![v]));
            }
            Ok(None)
        })
    })
}

/// The product whose sums `v` is, or what it makes floats of them, seen through views, if `node` alone reads them.
fn product_of_bytes<'g>(
    g: &'g Graph,
    uses: &Uses,
    node: &Node,
    v: ValueId,
) -> Option<(&'g Node, Option<ByteFinish>)> {
    if !uses.only_by(node, v) || g.shape(v) != g.shape(node.outputs[0]) {
        return None;
    }
    let mut at = g.producer(v)?;
    while let Op::Reshape(_) = at.op {
        let v = at.inputs[0];
        at = g.producer(v).filter(|_| uses.count(v) == 1)?;
    }
    let Op::Plain(op) = &at.op else { return None };
    let last = |v: ValueId| g.shape(v).dims().last();
    let finish = *finish_of(&op.kernel)?;
    let is_open = finish.is_none_or(|finish| finish.to.is_none());
    (is_open && last(v) == last(at.outputs[0])).then_some((at, finish))
}

/// What a product of bytes does to its sums.
fn finish_of(kernel: &plain::Plain) -> Option<&Option<ByteFinish>> {
    match kernel {
        plain::Plain::ByteConv(k) => Some(&k.finish),
        plain::Plain::ByteDepthwise(k) => Some(&k.finish),
        plain::Plain::ByteProduct(k) => Some(&k.finish),
        _ => None,
    }
}

/// One number for each column.
#[derive(Clone, Copy)]
enum Row {
    /// The same for all.
    Number(Scalar),
    /// An operand of one row, or of one element.
    Value(ValueId),
}

/// What of a map is done to the sums.
struct Found {
    /// What makes floats of them.
    scaled: Scaled,
    steps: Vec<ByteStep>,
    /// What the steps add, in their order.
    operands: Vec<Addend>,
    to: Option<Steps>,
    above_least: bool,
    /// The register that it computes.
    upto: Reg,
}

/// How sums become floats.
#[derive(Clone, Copy)]
enum Scaled {
    /// By this.
    By { addend: Option<Row>, scale: Row, bias: Option<Row> },
    /// As the product does already.
    Already { addend: bool, bias: bool },
}

#[derive(Clone, Copy)]
enum Addend {
    Row(Row),
    Like(ValueId),
}

/// A map that reads sums of the shape of its result.
struct Walk<'g> {
    g: &'g Graph,
    e: &'g MapExpr,
    inputs: &'g [ValueId],
    shape: &'g Shape,
}

impl Walk<'_> {
    fn inst(&self, r: Reg) -> Inst {
        self.e.insts()[r]
    }

    /// The one reader of a register, and what it is.
    fn next(&self, r: Reg) -> Option<(Reg, Inst)> {
        only_reader(self.e, r).map(|y| (y, self.inst(y)))
    }

    /// From operand `at` as far as it goes.
    fn from(&self, at: usize) -> Option<Found> {
        let start = self.e.insts().iter().position(|i| *i == Inst::Input(at))?;
        let (mut last, mut next) = self.next(start)?;
        let mut addend = None;
        if let Inst::Binary(Binary::Add, a, b) = next {
            addend = Some(self.row(if a == start { b } else { a }, DType::I32).filter(|_| a != b)?);
            (last, next) = self.next(last)?;
        }
        let Inst::Cast(DType::F32, _) = next else { return None };
        let (mut scale, mut bias, mut upto) = (Row::Number(Scalar::f32(1.0)), None, last);
        match self.next(upto) {
            Some((product, Inst::Binary(Binary::Mul, a, b))) if a != b => {
                if let Some(row) = self.row(if a == upto { b } else { a }, DType::F32) {
                    (scale, upto) = (row, product);
                    if let Some((sum, row)) = self.row_added(upto) {
                        (bias, upto) = (Some(row), sum);
                    }
                }
            }
            Some((sum, Inst::MulAdd(a, b, c))) if a != b && c != upto => {
                let factor = if a == upto { b } else { a };
                if let (Some(by), Some(row)) = (self.row(factor, DType::F32), self.row(c, DType::F32)) {
                    (scale, bias, upto) = (by, Some(row), sum);
                }
            }
            _ => {}
        }
        let scaled = Scaled::By { addend, scale, bias };
        Some(self.finish(scaled, Vec::new(), upto))
    }

    /// The same behind what a product does already; none where that is nothing.
    fn on(&self, at: usize, finish: ByteFinish) -> Option<Found> {
        let start = self.e.insts().iter().position(|i| *i == Inst::Input(at))?;
        let steps = finish.steps.into_iter().take_while(|step| *step != ByteStep::None).collect();
        let found = self.finish(Scaled::Already { addend: finish.addend, bias: finish.bias }, steps, start);
        (found.upto != start).then_some(found)
    }

    /// The steps behind some, and what is stored.
    fn finish(&self, scaled: Scaled, steps: Vec<ByteStep>, upto: Reg) -> Found {
        let mut found = Found { scaled, steps, operands: Vec::new(), to: None, above_least: false, upto };
        while let Some(end) = self.step(&mut found) {
            found.upto = end;
        }
        if let Some((to, above_least, end)) = self.stored(found.upto) {
            (found.to, found.above_least, found.upto) = (Some(to), above_least, end);
            // What is on the same steps already.
            let Steps { of, scale, zero } = to;
            let already = ByteStep::Act(Act::FakeQuantize { scale, zero, to: of });
            found.steps.pop_if(|step| *step == already);
        }
        found
    }

    /// One step more, and the register that it computes.
    fn step(&self, found: &mut Found) -> Option<Reg> {
        let at = found.upto;
        let mut put = |steps: &[ByteStep], operand: Option<Addend>| {
            (found.steps.len() + steps.len() <= ByteFinish::STEPS).then(|| {
                found.steps.extend(steps);
                found.operands.extend(operand);
            })
        };
        if let Some((act, end)) = activation(self.e, at) {
            return put(&[ByteStep::Act(act)], None).map(|()| end);
        }
        if let Some((acts, end)) = self.rescaled(at) {
            return put(&acts.map(ByteStep::Act), None).map(|()| end);
        }
        if let Some((sum, row)) = self.row_added(at) {
            return put(&[ByteStep::AddRow], Some(Addend::Row(row))).map(|()| sum);
        }
        if let (product, Inst::Binary(Binary::Mul, a, b)) = self.next(at)?
            && let Some(alpha) = number(self.e, if a == at { b } else { a })
            && alpha.is_finite()
        {
            return put(&[ByteStep::Act(Act::Affine { alpha, beta: 0.0 })], None).map(|()| product);
        }
        let (sum, Inst::Binary(Binary::Add, a, b)) = self.next(at)? else { return None };
        let (steps, v) = self.numbers(if a == at { b } else { a }).filter(|_| a != b)?;
        put(&[ByteStep::Add(steps)], Some(Addend::Like(v))).map(|()| sum)
    }

    /// One number a column.
    fn row(&self, r: Reg, dtype: DType) -> Option<Row> {
        match self.inst(r) {
            Inst::Const(c) if c.dtype == dtype => Some(Row::Number(c)),
            Inst::Cast(DType::F32, _) if dtype == DType::F32 => {
                number(self.e, r).map(|x| Row::Number(Scalar::f32(x)))
            }
            Inst::Input(i) => {
                let v = self.inputs[i];
                let shape = self.g.shape(v);
                let by_column = is_row(shape) && shape.dims().last() == self.shape.dims().last();
                let one = likely_len(shape) == Some(1) && shape.fixed().is_some();
                ((by_column || one) && self.g.dtype(v) == dtype).then_some(Row::Value(v))
            }
            _ => None,
        }
    }

    /// The sum of a register and one number a column.
    fn row_added(&self, r: Reg) -> Option<(Reg, Row)> {
        let (sum, Inst::Binary(Binary::Add, a, b)) = self.next(r)? else { return None };
        let row = self.row(if a == r { b } else { a }, DType::F32)?;
        (a != b).then_some((sum, row))
    }

    /// An operand like the result, of floats or of the steps of bytes.
    fn numbers(&self, r: Reg) -> Option<(Steps, ValueId)> {
        let like = |r: Reg| match self.inst(r) {
            Inst::Input(i) => Some(self.inputs[i]).filter(|v| self.g.shape(*v) == self.shape),
            _ => None,
        };
        if let Some(v) = like(r) {
            let floats = Steps { of: DType::F32, scale: 1.0, zero: 0.0 };
            return (self.g.dtype(v) == DType::F32).then_some((floats, v));
        }
        let (r, scale) = match self.inst(r) {
            Inst::Binary(Binary::Mul, a, b) => match (number(self.e, a), number(self.e, b)) {
                (None, Some(scale)) => (a, scale),
                (Some(scale), None) => (b, scale),
                _ => return None,
            },
            _ => (r, 1.0),
        };
        let (r, zero) = match self.inst(r) {
            Inst::Binary(Binary::Sub, a, b) => (a, number(self.e, b)?),
            Inst::Binary(Binary::Add, a, b) => (a, -number(self.e, b)?),
            _ => (r, 0.0),
        };
        let Inst::Cast(DType::F32, x) = self.inst(r) else { return None };
        let v = like(x)?;
        let of = self.g.dtype(v);
        matches!(of, DType::U8 | DType::I8).then_some((Steps { of, scale, zero }, v))
    }

    /// `saturate(round(x / scale) + zero)` and the register of the integer; without a division the scale is 1.
    fn quantised(&self, r: Reg) -> Option<(Steps, Reg)> {
        let (Quantised { scale, zero, to }, end) = quantised(self.e, r)?;
        (to.size() == 1).then_some((Steps { of: to, scale: scale.unwrap_or(1.0), zero }, end))
    }

    /// Quantised by one scale, and back by another.
    fn rescaled(&self, r: Reg) -> Option<([Act; 2], Reg)> {
        let (Steps { of, scale, zero }, at) = self.quantised(r)?;
        let (taken, by, end) = dequantised(self.e, at)?;
        let acts = [Act::FakeQuantize { scale, zero, to: of }, Act::Affine { alpha: by, beta: 0.0 }];
        (scale == 1.0 && taken == zero).then_some((acts, end))
    }

    /// The bytes that are all of the map's result, and whether signed ones are counted from the least.
    fn stored(&self, r: Reg) -> Option<(Steps, bool, Reg)> {
        let (steps, end) = self.quantised(r)?;
        let above_least = above_least_of(self.e) == Some(end);
        let end = if above_least { self.e.insts().len() - 1 } else { end };
        (end + 1 == self.e.insts().len()).then_some((steps, above_least, end))
    }
}

/// The product with what was found.
fn finished(g: &Graph, r: &mut Rewriter<'_>, product: &Node, found: &Found) -> Result<ValueId, Invalid> {
    let Op::Plain(op) = &product.op else { return Err(Invalid::new("no product of bytes")) };
    let shape = g.shape(product.outputs[0]);
    let n = shape.dims().last().and_then(Dim::fixed).and_then(|n| usize::try_from(n).ok());
    let n = n.ok_or_else(|| Invalid::new("a product of bytes with any number of columns"))?;
    let mut inputs = r.get_all(&product.inputs)?;
    let (addend, bias) = match found.scaled {
        Scaled::By { addend, scale, bias } => {
            for row in addend.into_iter().chain([scale]).chain(bias) {
                inputs.push(by_column(r, row, n)?);
            }
            (addend.is_some(), bias.is_some())
        }
        Scaled::Already { addend, bias } => (addend, bias),
    };
    for operand in &found.operands {
        inputs.push(match *operand {
            Addend::Row(row) => by_column(r, row, n)?,
            Addend::Like(v) => {
                let v = r.get(v)?;
                r.b.reshape(v, shape.clone())?
            }
        });
    }
    let steps = std::array::from_fn(|i| found.steps.get(i).copied().unwrap_or(ByteStep::None));
    let finish = ByteFinish { addend, bias, steps, to: found.to, above_least: found.above_least };
    let mut kernel = op.kernel.clone();
    match &mut kernel {
        plain::Plain::ByteConv(k) => k.finish = Some(finish),
        plain::Plain::ByteDepthwise(k) => k.finish = Some(finish),
        plain::Plain::ByteProduct(k) => k.finish = Some(finish),
        _ => return Err(Invalid::new("no product of bytes")),
    }
    let results = vec![(finish.stored(), shape.clone())];
    r.b.one(Op::Plain(Box::new(Plain { kernel, results, free: op.free.clone() })), &inputs)
}

/// A row of `n` as the kernels read it.
fn by_column(r: &mut Rewriter<'_>, row: Row, n: usize) -> Result<ValueId, Invalid> {
    let whole = n.next_multiple_of(PANEL);
    let v = match row {
        Row::Number(c) => return Ok(r.b.tensor(Tensor::filled(c, &[whole]))),
        Row::Value(v) => r.get(v)?,
    };
    if r.b.shape(v).numel()?.is(1) {
        let v = r.b.reshape(v, Shape::of(&[1]))?;
        return r.b.broadcast(v, &Shape::of(&[whole]));
    }
    let v = r.b.reshape(v, Shape::of(&[n]))?;
    let (before, after) = (vec![Dim::from(0)], vec![Dim::from(whole - n)]);
    let value = Scalar::from_f64(r.b.dtype(v), 0.0);
    r.b.one(Op::Pad { before, after, value }, &[v])
}

#[cfg(test)]
mod tests {
    use super::super::steps_tests::{dequantise, quantise};
    use super::*;
    use crate::ir::{Builder, Epilogue, eval};
    use sofie_infer_runtime::map::Unary;

    const A: Steps = Steps { of: DType::U8, scale: 0.03, zero: 121.0 };
    const B: Steps = Steps { of: DType::U8, scale: 0.04, zero: 100.0 };
    const SIGNED: Steps = Steps { of: DType::I8, scale: 0.05, zero: -7.0 };
    const K: usize = 40;

    /// A layer of bytes with a bias.
    fn layer(b: &mut Builder, x: ValueId, steps: Steps, n: usize) -> ValueId {
        other_layer(b, x, steps, n, 0)
    }

    fn other_layer(b: &mut Builder, x: ValueId, steps: Steps, n: usize, first: usize) -> ValueId {
        let x = dequantise(b, x, steps);
        let w: Vec<f32> = (0..K * n).map(|i| (((i * 37 + first) % 255) as f32 - 127.0) * 0.002).collect();
        let w = b.tensor(Tensor::of(&[K, n], &w));
        let bias: Vec<f32> = (0..n).map(|i| i as f32 * 0.03 - 0.2).collect();
        let bias = b.tensor(Tensor::of(&[1, n], &bias));
        b.one(Op::MatMul(Epilogue::BIAS), &[x, w, bias]).unwrap()
    }

    /// The optimised graph of what follows a layer; its results are those of the graph before, but for a step.
    fn optimised(of: Steps, step: f64, build: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> String {
        let mut b = Builder::new();
        let x = b.input("x", of.of, Shape::of(&[20, K]));
        let y = build(&mut b, x);
        b.output("y", y);
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        let bytes: Vec<u8> = (0..20 * K).map(|i| (i * 91 % 256) as u8).collect();
        let x = [Tensor::from_bytes(of.of, vec![20, K], bytes).unwrap()];
        let [y, z] = [&before, &after].map(|g| eval::run(g, &x).unwrap()[0].to_f64s());
        let apart = y.iter().zip(&z).filter(|(y, z)| (*y - *z).abs() > 1e-5 * y.abs()).count();
        assert!(apart * 100 <= y.len(), "{apart} of {} differ: {after}", y.len());
        assert!(y.iter().zip(&z).all(|(y, z)| (y - z).abs() <= step * 1.01), "{after}");
        after.to_string()
    }

    #[test]
    fn between_products_there_are_bytes() {
        for of in [A, SIGNED] {
            let text = optimised(of, 1.0, |b, x| {
                let y = layer(b, x, of, 40);
                let y = b.unary(Unary::Relu, y).unwrap();
                let y = quantise(b, y, B);
                let y = layer(b, y, B, 30);
                quantise(b, y, A)
            });
            assert_eq!(text.matches("ByteProduct {").count(), 2, "{text}");
            // What is signed is counted from 0 first.
            assert_eq!(text.matches("= map").count(), usize::from(of.of == DType::I8), "{text}");
        }
    }

    #[test]
    fn what_a_network_adds_is_added_by_the_product() {
        let text = optimised(A, 1.0, |b, x| {
            let y = layer(b, x, A, K);
            let y = quantise(b, y, B);
            let (y, x) = (dequantise(b, y, B), dequantise(b, x, A));
            let y = b.binary(Binary::Add, y, x).unwrap();
            let y = b.unary(Unary::Relu, y).unwrap();
            quantise(b, y, SIGNED)
        });
        assert!(text.contains("Add(Steps { of: U8") && !text.contains("= map"), "{text}");
    }

    #[test]
    fn of_two_sums_one_is_added_by_the_other() {
        // A step of one of the sums is two of the result.
        let text = optimised(A, 2.0, |b, x| {
            let [y, z] = [layer(b, x, A, K), other_layer(b, x, A, K, 11)];
            let (y, z) = (quantise(b, y, B), quantise(b, z, SIGNED));
            let (y, z) = (dequantise(b, y, B), dequantise(b, z, SIGNED));
            let y = b.binary(Binary::Add, y, z).unwrap();
            let row: Vec<f32> = (0..K).map(|i| i as f32 * 0.01).collect();
            let row = b.tensor(Tensor::of(&[1, K], &row));
            let y = b.binary(Binary::Add, y, row).unwrap();
            quantise(b, y, A)
        });
        assert!(text.contains("Add(Steps { of: F32") && !text.contains("= map"), "{text}");
    }

    #[test]
    fn signed_bytes_for_the_next_product_are_counted_from_0() {
        let text = optimised(A, 1.0, |b, x| {
            let y = layer(b, x, A, K);
            let y = quantise(b, y, SIGNED);
            let y = layer(b, y, SIGNED, 30);
            b.unary(Unary::Exp, y).unwrap()
        });
        assert!(text.contains("of: I8, scale: 0.05, zero: -7.0 }), above_least: true"), "{text}");
        assert!(text.matches("= map").count() == 1 && text.contains("map exp(x0)"), "{text}");
    }

    #[test]
    fn sums_of_integers_are_scaled_once() {
        let text = optimised(A, 0.05, |b, x| {
            let mut e = MapExpr::over(&[DType::U8]);
            let x0 = e.push(Inst::Input(0)).unwrap();
            e.push(Inst::Cast(DType::I32, x0)).unwrap();
            let x = b.map(e, &[x]).unwrap();
            let w: Vec<i32> = (0..K * 30).map(|i| (i as i32 * 37 % 255) - 127).collect();
            let w = b.tensor(Tensor::of(&[K, 30], &w));
            let bias = b.tensor(Tensor::of(&[1, 30], &(0..30).map(|i| i * 100).collect::<Vec<i32>>()));
            let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
            let y = b.binary(Binary::Add, y, bias).unwrap();
            let mut e = MapExpr::over(&[DType::I32]);
            let y0 = e.push(Inst::Input(0)).unwrap();
            let y0 = e.push(Inst::Cast(DType::F32, y0)).unwrap();
            let scale = e.push(Inst::Const(Scalar::f32(3e-4))).unwrap();
            let y0 = e.push(Inst::Binary(Binary::Mul, y0, scale)).unwrap();
            let y0 = e.push(Inst::Unary(Unary::Round, y0)).unwrap();
            e.push(Inst::Cast(DType::U8, y0)).unwrap();
            let y = b.map(e, &[y]).unwrap();
            // The steps of one scale as those of another.
            dequantise(b, y, Steps { zero: 0.0, scale: 0.05, ..A })
        });
        assert!(
            text.contains("addend: true") && text.contains("Affine") && !text.contains("= map"),
            "{text}"
        );
    }
}
