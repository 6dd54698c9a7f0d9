//! Recurrent layers: weights packed per direction; batch-major tensors and halves of a bidirectional result are
//! strides, not transposes.

use super::super::Operand;
use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::Planner;
use crate::ir::{self, Invalid, Node, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::plain::RecurrentPlain;
use sofie_infer_runtime::recurrent::{Cell, Recurrent, pack_bias, pack_input, pack_state};

/// The runtime's name of a cell.
fn cell(c: ir::Cell) -> Cell {
    match c {
        ir::Cell::Rnn { f } => Cell::Rnn { f },
        ir::Cell::Gru { f, g, linear_before_reset } => Cell::Gru { f, g, linear_before_reset },
        ir::Cell::Lstm { f, g, h, input_forget } => Cell::Lstm { f, g, h, input_forget },
    }
}

/// Whether steps and sequences have strides that do not run backwards and the features stand together.
fn is_sequence(l: &Layout) -> bool {
    l.is_empty() || (l.dense_from(2) && l.strides.iter().all(|s| *s >= 0))
}

/// As [`is_sequence`], no two states over one another.
fn is_own_sequence(l: &Layout) -> bool {
    is_sequence(l) && l.dims.iter().zip(&l.strides).all(|(&d, &s)| d < 2 || s > 0)
}

fn strides(l: &Layout) -> Result<(usize, usize), Invalid> {
    let at =
        |i: usize| usize::try_from(l.strides[i]).map_err(|_| Invalid::new("a sequence that runs backwards"));
    Ok((at(0)?, at(1)?))
}

/// Plans one direction.
pub fn recurrent(p: &mut Planner<'_>, node: &Node, r: &ir::Recurrent) -> Result<(), Invalid> {
    let [x, w, state, bias, ref rest @ ..] = node.inputs[..] else {
        return Err(Invalid::new("a recurrent layer of at least four values"));
    };
    let known = [w, state, bias].iter().all(|v| p.constant(*v).is_some());
    if p.graph.dtype(x) != DType::F32 || !known {
        return as_it_is(p, node, r);
    }
    let constant = |p: &Planner<'_>, v: ValueId, what: &str| {
        let values = p.constant(v).and_then(|t| t.to_vec::<f32>());
        values.ok_or_else(|| Invalid::new(format!("the {what} of a recurrent layer must be constant")))
    };
    let (weights, states) = (constant(p, w, "weights")?, constant(p, state, "recurrent weights")?);
    let biases = constant(p, bias, "bias")?;
    let cell = cell(r.cell);
    let (input, hidden) = match (p.dims(w), p.dims(state)) {
        ([_, i], [_, h]) => (*i, *h),
        _ => return Err(Invalid::new("recurrent weights without two axes")),
    };
    let packed_w = p.packed_f32(&pack_input(cell, input, hidden, &weights));
    let packed_r = p.packed_f32(&pack_state(cell, hidden, &states));
    let packed_bias = p.packed_f32(&pack_bias(cell, hidden, &biases));
    let mut rest = rest.iter();
    let mut optional = |p: &mut Planner<'_>, there: bool| match there.then(|| rest.next()).flatten() {
        Some(v) => p.dense(*v).map(Some),
        None => Ok(None),
    };
    let lens = optional(p, r.lens)?;
    let h0 = optional(p, r.h0)?;
    let c0 = optional(p, r.c0)?;
    let peepholes = optional(p, r.peepholes)?;
    let (read, xl) = p.fitting(x, is_sequence)?;
    let (x_step, x_row) = strides(&xl)?;
    let (steps, batch) = (xl.dims[0], xl.dims[1]);
    let mut homes = Vec::new();
    let mut writes = Vec::new();
    let mut y_strides = (0, 0);
    for (i, v) in node.outputs.iter().enumerate() {
        if p.uses(*v) == 0 {
            writes.push(Operand::nothing(DType::F32));
            continue;
        }
        let home = if i == 0 { p.target(*v, is_own_sequence) } else { p.target(*v, Layout::is_dense) };
        let (write, yl) = home.operand()?;
        if i == 0 {
            y_strides = strides(&yl)?;
        }
        writes.push(write);
        homes.push((*v, home));
    }
    writes.resize(3, Operand::nothing(DType::F32));
    let kernel = Recurrent {
        cell,
        steps,
        batch,
        input,
        hidden,
        reverse: r.reverse,
        clip: r.clip,
        x_step,
        x_row,
        y_step: y_strides.0,
        y_row: y_strides.1,
    };
    let scratch = p.scratch(DType::F32, kernel.scratch());
    writes.push(scratch);
    let reads = vec![Some(read), Some(packed_w), Some(packed_r), Some(packed_bias), peepholes, lens, h0, c0];
    p.push(Kernel::Recurrent(kernel), writes, reads);
    for (v, home) in homes {
        p.written(v, home)?;
    }
    Ok(())
}

/// Weights that are computed at run time, or are no `f32`.
fn as_it_is(p: &mut Planner<'_>, node: &Node, r: &ir::Recurrent) -> Result<(), Invalid> {
    let (steps, batch, input) = match p.dims(node.inputs[0]) {
        [t, b, i] => (*t, *b, *i),
        _ => return Err(Invalid::new("a recurrent layer's input without three axes")),
    };
    let hidden = p.dims(node.inputs[2]).last().copied().unwrap_or(0);
    let kernel = RecurrentPlain {
        cell: cell(r.cell),
        steps,
        batch,
        input,
        hidden,
        reverse: r.reverse,
        clip: r.clip,
        lens: r.lens,
        h0: r.h0,
        c0: r.c0,
        peepholes: r.peepholes,
    };
    super::plain::run(p, node, kernel.into())
}
