//! Views become layouts; a reshape that strides cannot say becomes a copy.

use super::super::kernel::{Found, Kernel};
use super::super::layout::Layout;
use super::super::planner::Planner;
use crate::ir::{Dim, Invalid, Node, Op};

/// Plans a view.
pub fn view(p: &mut Planner<'_>, node: &Node) -> Result<(), Invalid> {
    let ([x], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a view of one value"));
    };
    let dims = p.dims(*y).to_vec();
    let mut home = p.home(*x)?;
    let layout = match &node.op {
        Op::Transpose(perm) => home.layout.transpose(perm),
        Op::Broadcast(_) => home.layout.broadcast(&dims),
        Op::Windows { axis, .. } => home.layout.windows(*axis, dims[*axis], dims[*axis + 1]),
        Op::Slice { start, step, .. } => {
            let start: Option<Vec<i64>> = start.iter().map(Dim::fixed).collect();
            let start = start.ok_or_else(|| Invalid::new("a slice whose start is not fixed"))?;
            home.layout.slice(&start, step, &dims)
        }
        _ => match home.layout.reshape(&dims) {
            Some(layout) => layout,
            None => {
                // The copy may go straight to where the reshaped value is wanted.
                let back = p.wanted(*y).and_then(|w| Some((w.clone(), w.layout.reshape(p.dims(*x))?)));
                let to = match back {
                    Some((wanted, layout)) => {
                        super::super::planner::Home { layout, value: home.value, ..wanted }
                    }
                    None => p.alloc(home.dtype, &home.layout.dims.clone(), home.value),
                };
                p.copy(&home, &to)?;
                home = to;
                home.layout
                    .reshape(&dims)
                    .unwrap_or_else(|| Layout { offset: home.layout.offset, ..Layout::dense(&dims) })
            }
        },
    };
    p.alias(*y, layout, &home);
    let here = p.home(*y)?;
    match p.wanted(*y).cloned() {
        Some(wanted) if wanted.root != here.root || wanted.layout != here.layout => p.written(*y, here),
        _ => Ok(()),
    }
}

/// Plans a view of as many elements as values decide, and the step that finds out how many.
pub fn cut(p: &mut Planner<'_>, node: &Node, axis: usize) -> Result<(), Invalid> {
    let ([x, count], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a cut of one value to a number"));
    };
    let (dims, room) = (p.dims(*y).to_vec(), p.dims(*x)[axis]);
    if p.finds(*count, dims[axis]) {
        let (count, _) = p.home(*count)?.operand()?;
        p.push(Kernel::Found(Found { extent: dims[axis], room }), Vec::new(), vec![Some(count)]);
    }
    let home = p.home(*x)?;
    let rank = dims.len();
    p.alias(*y, home.layout.slice(&vec![0; rank], &vec![1; rank], &dims), &home);
    let here = p.home(*y)?;
    match p.wanted(*y).cloned() {
        Some(wanted) if wanted.root != here.root || wanted.layout != here.layout => p.written(*y, here),
        _ => Ok(()),
    }
}
