//! Maps that a product can do before it stores its sums become its epilogue: bias, residual, activation.
//! Of a larger map the part that stands around the product's result goes, the rest stays.

use super::pattern::{Kind, Product, Uses, is_row, until_stable};
use crate::ir::{Builder, Dim, Graph, Inst, Invalid, MapExpr, Op, Reg, Rewriter, Shape, Tensor, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::{Act, DType};

/// Moves what products can do into their epilogues.
pub fn epilogue(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let Op::Map(e) = &node.op else { return Ok(None) };
            // Of two products the later one takes the other as its residual.
            let mut hosts: Vec<usize> = (0..node.inputs.len()).collect();
            hosts.sort_by_key(|&i| std::cmp::Reverse(node.inputs[i]));
            for i in hosts {
                let v = node.inputs[i];
                if !uses.only_by(node, v) || g.shape(v) != g.shape(node.outputs[0]) {
                    continue;
                }
                let inputs = r.get_all(&node.inputs)?;
                let Some(product) = Product::of(&match r.b.graph().producer(inputs[i]) {
                    Some(p) => p.clone(),
                    None => continue,
                }) else {
                    continue;
                };
                let origin = r.b.graph().producer(inputs[i]).map(|n| n.origin.clone()).unwrap_or_default();
                let mut host = Host { b: &mut r.b, e, inputs: &inputs, product };
                if let Some(Absorbed { product, upto }) = host.absorb(i)? {
                    r.b.set_origin(&origin);
                    r.b.add_origin(&node.origin);
                    let y = product.push(&mut r.b)?;
                    return rest(&mut r.b, e, &inputs, upto, y).map(|v| Some(vec![v]));
                }
            }
            Ok(None)
        })
    })
}

/// A product with a larger epilogue, and the register of the map that it now computes.
struct Absorbed {
    product: Product,
    upto: Reg,
}

/// What is left of a map whose register `upto` is `y`.
pub fn rest(
    b: &mut Builder,
    e: &MapExpr,
    inputs: &[ValueId],
    upto: Reg,
    y: ValueId,
) -> Result<ValueId, Invalid> {
    if upto + 1 == e.insts().len() {
        return Ok(y);
    }
    let mut operands = inputs.to_vec();
    operands.push(y);
    let mut types = e.inputs().to_vec();
    types.push(b.dtype(y));
    let mut rest = MapExpr::over(&types);
    let mut regs: Vec<Reg> = Vec::new();
    for (r, inst) in e.insts().iter().enumerate() {
        let inst = if r == upto { Inst::Input(inputs.len()) } else { inst.map_operands(|o| regs[o]) };
        regs.push(rest.push(inst)?);
    }
    let last = regs.last().copied().ok_or_else(|| Invalid::new("an empty map"))?;
    let rest = rest.finish(last);
    let kept: Vec<usize> = (0..operands.len()).filter(|&i| rest.reads(i)).collect();
    let to: Vec<_> = (0..operands.len()).map(|i| kept.iter().position(|&k| k == i)).collect();
    let types: Vec<_> = kept.iter().map(|&i| types[i]).collect();
    let operands: Vec<_> = kept.iter().map(|&i| operands[i]).collect();
    b.one(Op::Map(rest.select_inputs(&to, &types)?), &operands)
}

/// A product whose result a map reads.
struct Host<'a> {
    b: &'a mut Builder,
    e: &'a MapExpr,
    inputs: &'a [ValueId],
    product: Product,
}

impl Host<'_> {
    /// Walks from operand `at` through what an epilogue can do, as far as it goes.
    fn absorb(&mut self, at: usize) -> Result<Option<Absorbed>, Invalid> {
        let e = self.e;
        let start = e.insts().iter().position(|i| *i == Inst::Input(at));
        let (Some(start), true) = (start, e.inputs()[at] == DType::F32 && self.product.act == Act::None)
        else {
            return Ok(None);
        };
        let mut upto = start;
        while let Some(sum) = self.addend(upto)? {
            upto = sum;
        }
        if let Some((act, result)) = activation(e, upto)
            && (result + 1 == e.insts().len() || is_cheap(act))
        {
            self.product.act = act;
            upto = result;
        }
        let found = upto != start;
        Ok(found.then(|| Absorbed { product: self.product.clone(), upto }))
    }

    /// The one reader of a register, if it adds something that an epilogue can add.
    fn addend(&mut self, r: Reg) -> Result<Option<Reg>, Invalid> {
        let Some(reader) = only_reader(self.e, r) else { return Ok(None) };
        let (other, negative) = match self.e.insts()[reader] {
            Inst::Binary(Binary::Add, a, b) if a != b => (if a == r { b } else { a }, false),
            Inst::Binary(Binary::Sub, a, b) if a == r && b != r => (b, true),
            _ => return Ok(None),
        };
        match self.e.insts()[other] {
            Inst::Const(c) => {
                let c = if negative { sofie_infer_runtime::map::unary(Unary::Neg, c) } else { c };
                let c = self.b.tensor(Tensor::filled(c, &[1]));
                Ok(self.add_bias(c)?.then_some(reader))
            }
            Inst::Input(i) => {
                let v = self.inputs[i];
                if is_row(self.b.shape(v)) && self.b.constant(v).is_some() {
                    let v = if negative { self.b.unary(Unary::Neg, v)? } else { v };
                    return Ok(self.add_bias(v)?.then_some(reader));
                }
                let result = self.result_shape()?;
                if self.product.residual.is_some() {
                    return Ok(None);
                }
                let residual = if *self.b.shape(v) == result {
                    if negative {
                        return Ok(None);
                    }
                    v
                } else if self.repeats(v, &result) {
                    // One row for all, or for an event: what conditions a layer on its event as a whole.
                    let row = if negative { self.b.unary(Unary::Neg, v)? } else { v };
                    self.b.broadcast(row, &result)?
                } else {
                    return Ok(None);
                };
                self.product.residual = Some(residual);
                Ok(Some(reader))
            }
            _ => Ok(None),
        }
    }

    /// Whether the product can add the rows of `v` more than once: one for all, or, with weights that are known, rows at a
    /// stride within an event and another from event to event.
    fn repeats(&self, v: ValueId, result: &Shape) -> bool {
        let shape = self.b.shape(v);
        if shape.dims().last() != result.dims().last() || shape.rank() > result.rank() {
            return false;
        }
        let mut runs: Vec<bool> = Vec::new();
        let ends = shape.dims().iter().rev().map(Some).chain(std::iter::repeat(None));
        for (of_v, n) in ends.zip(result.dims().iter().rev()).skip(1).filter(|(_, n)| !n.is(1)) {
            let repeated = of_v.is_none_or(|d| d.is(1));
            if !repeated && of_v.is_none_or(|d| d.same(n) != Some(true)) {
                return false;
            }
            if runs.last() != Some(&repeated) {
                runs.push(repeated);
            }
        }
        let strided = self.product.kind == Kind::MatMul && self.product.has_weights(self.b.graph());
        runs.len() <= if strided { 2 } else { 1 }
    }

    fn result_shape(&self) -> Result<Shape, Invalid> {
        // The map has the product's shape: any operand as large as that will do.
        let mut shape = Shape::default();
        for v in self.inputs {
            let next = self.b.shape(*v);
            shape = if shape.rank() == 0 { next.clone() } else { shape.broadcast(next)? };
        }
        Ok(shape)
    }

    /// Adds a row of constants to the bias, where that is constant or not there.
    fn add_bias(&mut self, row: ValueId) -> Result<bool, Invalid> {
        let n = self.result_shape()?.dims().last().cloned().unwrap_or(Dim::ONE);
        let columns = Shape::new(vec![n.clone()]);
        let len = self.b.shape(row).numel()?;
        let row = self.b.reshape(row, Shape::new(vec![len]))?;
        let row = self.b.broadcast(row, &columns)?;
        self.product.bias = Some(match self.product.bias {
            None => row,
            Some(bias) if self.b.constant(bias).is_some() => {
                let bias = self.b.reshape(bias, columns)?;
                self.b.binary(Binary::Add, bias, row)?
            }
            Some(_) => return Ok(false),
        });
        Ok(true)
    }
}

fn readers(e: &MapExpr, r: Reg) -> impl Iterator<Item = Reg> {
    e.insts().iter().enumerate().filter(move |(_, i)| i.operands().any(|o| o == r)).map(|(i, _)| i)
}

/// The one reader of a register that has one.
pub fn only_reader(e: &MapExpr, r: Reg) -> Option<Reg> {
    let mut readers = readers(e, r);
    readers.next().filter(|_| readers.next().is_none())
}

/// The number that a register is everywhere.
pub fn number(e: &MapExpr, r: Reg) -> Option<f32> {
    match e.insts()[r] {
        Inst::Const(c) => Some(c.to_f64() as f32),
        Inst::Cast(DType::F32, stored) => number(e, stored),
        _ => None,
    }
}

/// Activations that every product applies in registers; the others are worth it only where no map is left.
fn is_cheap(act: Act) -> bool {
    matches!(act, Act::None | Act::Relu | Act::LeakyRelu { .. } | Act::Clip { .. })
}

/// The activation that the readers of a register compute, and the register of its result.
pub fn activation(e: &MapExpr, r: Reg) -> Option<(Act, Reg)> {
    let found: Vec<Reg> = readers(e, r).collect();
    let (number, only) = (|r| number(e, r), |r| only_reader(e, r));
    match found.as_slice() {
        &[y] => match e.insts()[y] {
            Inst::Unary(op, _) => {
                let act = match op {
                    Unary::Relu => match only(y).map(|z| (z, e.insts()[z])) {
                        // min(relu(x), 6)
                        Some((z, Inst::Binary(Binary::Min, a, hi))) if a == y && number(hi) >= Some(0.0) => {
                            return Some((Act::Clip { lo: 0.0, hi: number(hi)? }, z));
                        }
                        _ => Act::Relu,
                    },
                    Unary::Sigmoid => Act::Sigmoid,
                    Unary::Tanh => Act::Tanh,
                    Unary::Silu => Act::Silu,
                    Unary::GeluErf => Act::GeluErf,
                    Unary::GeluTanh => Act::GeluTanh,
                    _ => return None,
                };
                Some((act, y))
            }
            Inst::Binary(op @ (Binary::Min | Binary::Max), a, bound) if a == r => {
                let first = number(bound).filter(|n| !n.is_nan())?;
                let (inner, act) = match op {
                    Binary::Max => (Binary::Min, Act::Clip { lo: first, hi: f32::INFINITY }),
                    _ => (Binary::Max, Act::Clip { lo: f32::NEG_INFINITY, hi: first }),
                };
                match only(y).map(|z| (z, e.insts()[z])) {
                    Some((z, Inst::Binary(op, a, bound))) if op == inner && a == y => {
                        let second = number(bound).filter(|n| !n.is_nan())?;
                        let (lo, hi) = if inner == Binary::Min { (first, second) } else { (second, first) };
                        // Crossing bounds depend on which is applied last.
                        (lo <= hi).then_some((Act::Clip { lo, hi }, z))
                    }
                    Some((z, Inst::Unary(Unary::Relu, _))) if inner == Binary::Max => {
                        (first >= 0.0).then_some((Act::Clip { lo: 0.0, hi: first }, z))
                    }
                    _ => Some((act, y)),
                }
            }
            Inst::Binary(Binary::Div, a, _) if a == r => fake_quantize(e, r),
            _ => hard_sigmoid(e, r, y),
        },
        _ => hard_swish(e, r, &found).or_else(|| two_sided(e, r, &found)),
    }
}

/// `(saturate(round(x / scale) + zero) - zero) * scale` of register `x`: what a quantised network does behind each layer that is
/// computed in floats.
fn fake_quantize(e: &MapExpr, x: Reg) -> Option<(Act, Reg)> {
    let (Quantised { scale, zero, to }, steps) = quantised(e, x)?;
    let scale = scale?;
    let (from_zero, of_steps, last) = dequantised(e, steps)?;
    (from_zero == zero && of_steps == scale).then_some((Act::FakeQuantize { scale, zero, to }, last))
}

/// What `type(round(x / scale) + zero)` quantises by; the zero point 0 where nothing is added.
pub struct Quantised {
    /// None where nothing is divided.
    pub scale: Option<f32>,
    /// The integer of 0.
    pub zero: f32,
    /// The integer type.
    pub to: DType,
}

/// How the readers of a register quantise it, and the register of the integer.
pub fn quantised(e: &MapExpr, x: Reg) -> Option<(Quantised, Reg)> {
    let next = |r: Reg| only_reader(e, r).map(|y| (y, e.insts()[y]));
    let (mut at, mut inst) = next(x)?;
    let mut scale = None;
    if let Inst::Binary(Binary::Div, a, by) = inst {
        scale = Some(number(e, by).filter(|_| a == x)?);
        (at, inst) = next(at)?;
    }
    let (rounded, Inst::Unary(Unary::Round, _)) = (at, inst) else { return None };
    (at, inst) = next(rounded)?;
    let mut zero = 0.0;
    if let Inst::Binary(Binary::Add, a, b) = inst {
        zero = number(e, if a == rounded { b } else { a })?;
        (at, inst) = next(at)?;
    }
    let Inst::Cast(to @ (DType::I8 | DType::U8 | DType::I16 | DType::U16), _) = inst else { return None };
    Some((Quantised { scale, zero, to }, at))
}

/// The zero point and the scale by which the readers of an integer make it a float, and the register of that.
pub fn dequantised(e: &MapExpr, integer: Reg) -> Option<(f32, f32, Reg)> {
    let next = |r: Reg| only_reader(e, r).map(|y| (y, e.insts()[y]));
    let (mut steps, Inst::Cast(DType::F32, _)) = next(integer)? else { return None };
    let (mut last, mut inst) = next(steps)?;
    let taken = match inst {
        Inst::Binary(Binary::Sub, a, b) if a == steps => Some(number(e, b)?),
        Inst::Binary(Binary::Add, a, b) => Some(-number(e, if a == steps { b } else { a })?),
        _ => None,
    };
    if taken.is_some() {
        steps = last;
        (last, inst) = next(last)?;
    }
    let Inst::Binary(Binary::Mul, a, b) = inst else { return None };
    let scale = number(e, if a == steps { b } else { a })?;
    Some((taken.unwrap_or(0.0), scale, last))
}

/// `min(relu(alpha * x + beta), 1)`, whose line is register `line`.
fn hard_sigmoid(e: &MapExpr, r: Reg, line: Reg) -> Option<(Act, Reg)> {
    let (number, only) = (|r| number(e, r), |r| only_reader(e, r));
    let Inst::MulAdd(x, alpha, beta) = e.insts()[line] else { return None };
    let (alpha, beta) = (number(alpha)?, number(beta)?);
    let above = only(line).filter(|y| x == r && e.insts()[*y] == Inst::Unary(Unary::Relu, line))?;
    let within = only(above)?;
    let Inst::Binary(Binary::Min, a, one) = e.insts()[within] else { return None };
    (a == above && number(one) == Some(1.0)).then_some((Act::HardSigmoid { alpha, beta }, within))
}

/// `x * min(relu(alpha * x + beta), 1)`.
fn hard_swish(e: &MapExpr, r: Reg, readers_of_r: &[Reg]) -> Option<(Act, Reg)> {
    let &[line, product] = readers_of_r else { return None };
    let (Act::HardSigmoid { alpha, beta }, gate) = hard_sigmoid(e, r, line)? else { return None };
    let alone = readers(e, gate).eq([product]);
    let is_product =
        [(r, gate), (gate, r)].iter().any(|&(a, b)| e.insts()[product] == Inst::Binary(Binary::Mul, a, b));
    (alone && is_product).then_some((Act::HardSwish { alpha, beta }, product))
}

/// `x >= 0 ? x : f(x)` with the f of LeakyRelu and Elu, and `max(x, alpha * x)`.
fn two_sided(e: &MapExpr, r: Reg, readers_of_r: &[Reg]) -> Option<(Act, Reg)> {
    let number = |r| number(e, r);
    let slope = |y: Reg| match e.insts()[y] {
        Inst::Binary(Binary::Mul, a, b) if a == r => number(b),
        Inst::Binary(Binary::Mul, a, b) if b == r => number(a),
        _ => None,
    };
    let expm1 = |y: Reg| matches!(e.insts()[y], Inst::Unary(Unary::Expm1, a) if a == r);
    let exponential = |y: Reg| match e.insts()[y] {
        Inst::Unary(Unary::Expm1, a) if a == r => Some((1.0, y)),
        Inst::Binary(Binary::Mul, a, b) if expm1(a) => Some((number(b)?, a)),
        Inst::Binary(Binary::Mul, a, b) if expm1(b) => Some((number(a)?, b)),
        _ => None,
    };
    let (y, (condition, positive, negative)) =
        e.insts().iter().enumerate().find_map(|(y, inst)| match *inst {
            Inst::Select(c, a, b) if a == r || b == r => Some((y, (c, a, b))),
            Inst::Binary(Binary::Max, a, b) if a == r || b == r => Some((y, (y, a, b))),
            _ => None,
        })?;
    // Nothing inside the pattern may be read from outside.
    let inside = |inner: &[Reg]| {
        readers_of_r.iter().all(|x| *x == y || *x == condition || inner.contains(x))
            && inner
                .iter()
                .chain([&condition])
                .filter(|i| **i != y)
                .all(|i| readers(e, *i).all(|x| x == y || inner.contains(&x)))
    };
    if condition == y {
        let other = if positive == r { negative } else { positive };
        let alpha = slope(other).filter(|a| (0.0..=1.0).contains(a))?;
        return inside(&[other]).then_some((Act::LeakyRelu { alpha }, y));
    }
    // At 0 both sides agree, so > and >= mean the same.
    let straight = match e.insts()[condition] {
        Inst::Binary(Binary::Ge | Binary::Gt, a, b) if a == r && number(b) == Some(0.0) => positive == r,
        Inst::Binary(Binary::Lt | Binary::Le, a, b) if a == r && number(b) == Some(0.0) => negative == r,
        _ => return None,
    };
    let other = if positive == r { negative } else { positive };
    if !straight {
        return None;
    }
    if let Some(alpha) = slope(other) {
        return inside(&[other]).then_some((Act::LeakyRelu { alpha }, y));
    }
    let (alpha, inner) = exponential(other)?;
    inside(&[other, inner]).then_some((Act::Elu { alpha }, y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Epilogue;

    /// The printed graph of a product and an activation as exporters spell it.
    fn after_product(act: Act) -> String {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[2, 3]));
        let w = b.tensor(Tensor::of(&[3, 4], &[0.5f32; 12]));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let mut e = MapExpr::over(&[DType::F32]);
        let x = e.push(Inst::Input(0)).unwrap();
        let result = e.activation(act, x, DType::F32).unwrap();
        let y = b.one(Op::Map(e.finish(result)), &[y]).unwrap();
        b.output("y", y);
        crate::passes::optimize(b.finish(), None).unwrap().to_string()
    }

    #[test]
    fn a_row_that_the_run_computes_is_the_residual_of_all_rows() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[1, 5, 3]));
        let row = b.input("row", DType::F32, Shape::of(&[1, 1, 4]));
        let w = b.tensor(Tensor::of(&[1, 3, 4], &[0.5f32; 12]));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let y = b.binary(Binary::Sub, y, row).unwrap();
        let y = b.unary(Unary::Relu, y).unwrap();
        b.output("y", y);
        let text = crate::passes::optimize(b.finish(), None).unwrap().to_string();
        assert!(text.contains("+residual Relu") && text.contains("map neg(x0)(%1)"), "{text}");
    }

    #[test]
    fn rows_at_two_strides_are_residuals_of_products_with_weights() {
        let after = |of: &[Dim], weights: bool| {
            let mut b = Builder::new();
            let (events, n) = (Dim::bounded("events", 0, 9), Dim::bounded("n", 0, 50));
            let dims = |last: usize| Shape::new(vec![events.clone(), n.clone(), 2.into(), last.into()]);
            let x = b.input("x", DType::F32, dims(3));
            let rows = b.input("rows", DType::F32, Shape::new(of.to_vec()));
            let w = match weights {
                true => b.tensor(Tensor::of(&[1, 1, 3, 4], &[0.5f32; 12])),
                false => b.input("w", DType::F32, Shape::of(&[1, 1, 3, 4])),
            };
            let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
            let y = b.binary(Binary::Add, y, rows).unwrap();
            let y = b.unary(Unary::Relu, y).unwrap();
            b.output("y", y);
            crate::passes::optimize(b.finish(), None).unwrap().to_string()
        };
        let (events, n) = (Dim::bounded("events", 0, 9), Dim::bounded("n", 0, 50));
        let [one, two, four] = [1usize, 2, 4].map(Dim::from);
        let absorbed = [
            vec![events.clone(), one.clone(), one.clone(), four.clone()],
            vec![events.clone(), n.clone(), one.clone(), four.clone()],
            vec![n.clone(), two.clone(), four.clone()],
            vec![two.clone(), four.clone()],
        ];
        for of in absorbed {
            let text = after(&of, true);
            assert!(text.contains("+residual Relu") && !text.contains("map"), "{of:?}: {text}");
            assert!(after(&of, false).contains("map"), "{of:?}");
        }
        let three = after(&[events, one, two, four], true);
        assert!(three.contains("map") && !three.contains("residual"), "{three}");
    }

    #[test]
    fn activations_of_several_steps_are_the_products() {
        for (act, name) in [
            (Act::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 }, "HardSwish"),
            (Act::HardSigmoid { alpha: 0.2, beta: 0.5 }, "HardSigmoid"),
            (Act::FakeQuantize { scale: 0.03, zero: -128.0, to: DType::I8 }, "FakeQuantize"),
            (Act::FakeQuantize { scale: 0.03, zero: 0.0, to: DType::U8 }, "FakeQuantize"),
        ] {
            let text = after_product(act);
            assert!(text.contains(name) && !text.contains("map"), "{text}");
        }
    }
}
