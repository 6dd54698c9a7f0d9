//! Signed bytes that a product of bytes reads are quantised as what they are above the least, which is what the product takes:
//! otherwise each is stored once as it is and once as that.

use super::operand::{OFFSET, above_least, above_least_of};
use crate::ir::{Graph, Inst, Invalid, MapExpr, Node, Op, Rewriter, ValueId};
use crate::passes::epilogue::number;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use std::collections::HashMap;

/// Quantises to bytes from 0 where products read such.
pub fn unsigned(graph: &Graph) -> Result<Graph, Invalid> {
    let users = graph.users();
    let node = |n: &crate::ir::NodeId| &graph.nodes()[n.index()];
    let reads_shifted = |v: ValueId| users[v.index()].iter().map(node).any(is_shift);
    // What is left of a value: the bytes from 0 in its place.
    let mut shifted: HashMap<ValueId, ValueId> = HashMap::new();
    Rewriter::run(graph, |r, node| {
        let Op::Map(e) = &node.op else { return Ok(None) };
        if is_shift(node)
            && let Some(bytes) = shifted.get(&node.inputs[0])
        {
            return Ok(Some(vec![*bytes]));
        }
        if let Some(i) = node.inputs.iter().position(|v| shifted.contains_key(v)) {
            let mut inputs = r.get_all(&node.inputs)?;
            inputs[i] = shifted[&node.inputs[i]];
            return from_zero(e, i)?.map(|e| r.b.map(e, &inputs).map(|v| vec![v])).transpose();
        }
        let y = node.outputs[0];
        if !quantises(e) || !reads_shifted(y) || graph.outputs().iter().any(|p| p.value == y) {
            return Ok(None);
        }
        let inputs = r.get_all(&node.inputs)?;
        let bytes = above_least(e.clone())?;
        let bytes = r.b.map(bytes, &inputs)?;
        shifted.insert(y, bytes);
        let mut back = MapExpr::over(&[DType::U8]);
        let x = back.push(Inst::Input(0))?;
        let x = back.push(Inst::Cast(DType::I32, x))?;
        let offset = back.push(Inst::Const(Scalar::from_f64(DType::I32, f64::from(OFFSET))))?;
        let x = back.push(Inst::Binary(Binary::Sub, x, offset))?;
        back.push(Inst::Cast(DType::I8, x))?;
        r.b.map(back, &[bytes]).map(|v| Some(vec![v]))
    })
}

/// The expression over an operand whose bytes are counted from 0, where all that it does with them is to widen them.
fn from_zero(e: &MapExpr, operand: usize) -> Result<Option<MapExpr>, Invalid> {
    let mut types = e.inputs().to_vec();
    types[operand] = DType::U8;
    let mut new = MapExpr::over(&types);
    let (mut at, mut wide) = (Vec::new(), Vec::new());
    for inst in e.insts() {
        let reads_bytes = |r: usize| e.insts()[r] == Inst::Input(operand);
        let of = |r: usize| at.get(r).copied().unwrap_or(r);
        // Zero points are whole numbers of the type, so one difference is as exact as two.
        let difference = match *inst {
            Inst::Binary(Binary::Sub, a, zero) => wide.iter().find(|(r, _)| *r == a).zip(number(e, zero)),
            _ => None,
        };
        let next = match (*inst, difference) {
            (_, Some((&(_, x), zero))) => {
                let to = new.reg_type(x).unwrap_or(DType::F32);
                let zero =
                    new.push(Inst::Const(Scalar::from_f64(to, f64::from(zero) + f64::from(OFFSET))))?;
                new.push(Inst::Binary(Binary::Sub, x, zero))?
            }
            (Inst::Cast(to @ (DType::F32 | DType::I32), x), None) if reads_bytes(x) => {
                let x = new.push(Inst::Cast(to, of(x)))?;
                let offset = new.push(Inst::Const(Scalar::from_f64(to, f64::from(OFFSET))))?;
                wide.push((at.len(), x));
                new.push(Inst::Binary(Binary::Sub, x, offset))?
            }
            (other, None) if other.operands().any(reads_bytes) => return Ok(None),
            (other, None) => new.push(other.map_operands(of))?,
        };
        at.push(next);
    }
    Ok(at.last().map(|last| new.finish(*last)))
}

fn is_shift(node: &Node) -> bool {
    let Op::Map(e) = &node.op else { return false };
    e.inputs() == [DType::I8] && above_least_of(e).is_some_and(|x| e.insts()[x] == Inst::Input(0))
}

/// Whether the result of a map is `i8(round(…) + …)`.
fn quantises(e: &MapExpr) -> bool {
    let Some(Inst::Cast(DType::I8, steps)) = e.insts().last() else { return false };
    let rounded = |r: usize| matches!(e.insts()[r], Inst::Unary(Unary::Round, _));
    match e.insts()[*steps] {
        Inst::Binary(Binary::Add, a, b) => rounded(a) || rounded(b),
        _ => rounded(*steps),
    }
}
