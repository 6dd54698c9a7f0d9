//! Elementwise maps: operands are read at any strides, gathered rows straight through their index, and the result
//! replaces an operand that nobody needs any more.

use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::{Home, Planner};
use super::super::{Operand, Root};
use super::matmul::extras;
use crate::ir::{Epilogue, Inst, Invalid, MapExpr, Node, Op, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::copy::RANK;
use sofie_infer_runtime::map::{self as rt, Binary, Map, MapProgram, MapSpec, Scalar, Source, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// An operand before the axes are merged.
struct View {
    source: ViewSource,
    strides: Vec<isize>,
    offset: usize,
    dtype: DType,
}

enum ViewSource {
    Slice(u8),
    Out,
    Position,
    Indexed {
        slice: u8,
        index: u8,
        index_type: DType,
        index_strides: Vec<isize>,
        index_offset: usize,
        extent: usize,
        step: isize,
    },
}

/// The slices that a map reads, and its operands over them.
#[derive(Default)]
struct Operands {
    reads: Vec<Operand>,
    views: Vec<View>,
}

impl Operands {
    fn slice(&mut self, o: Operand) -> u8 {
        self.reads.push(o);
        (self.reads.len() - 1) as u8
    }
}

/// Plans a map.
pub fn map(p: &mut Planner<'_>, node: &Node, e: &MapExpr) -> Result<(), Invalid> {
    let y = node.outputs[0];
    let dims = p.dims(y).to_vec();
    let dtype = p.graph.dtype(y);
    let in_place = reusable(p, node, e, &dims, dtype);
    let mut operands = Operands::default();
    let home = match in_place {
        Some(i) => Home { value: Some(y), ..p.home(node.inputs[i])? },
        None => p.target(y, |_| true),
    };
    let (write, out) = home.operand()?;
    let mut constants: Vec<Option<Scalar>> = Vec::new();
    let mut to: Vec<Option<usize>> = Vec::new();
    for (i, v) in node.inputs.iter().enumerate() {
        let uniform = p.constant(*v).and_then(|t| t.uniform());
        constants.push(uniform);
        if uniform.is_some() || !e.reads(i) {
            to.push(None);
            continue;
        }
        to.push(Some(operands.views.len()));
        let view = if in_place == Some(i) {
            View { source: ViewSource::Out, strides: out.strides.clone(), offset: out.offset as usize, dtype }
        } else if let Some(gather) = p.fused_gather(*v) {
            gathered(p, &mut operands, gather, &dims)?
        } else {
            plain(p, &mut operands, *v, &dims)?
        };
        operands.views.push(view);
    }
    let kernel = build(e, &to, &constants, &mut operands, &dims, &out)?;
    let reads = operands.reads.into_iter().map(Some).collect();
    p.push(Kernel::Map(kernel), vec![write], reads);
    p.written(y, home)
}

/// The operand whose memory the result may take: of its type and shape, dense, read for the last time here, and
/// not read another way by the same map.
fn reusable(p: &mut Planner<'_>, node: &Node, e: &MapExpr, dims: &[usize], dtype: DType) -> Option<usize> {
    if p.wanted(node.outputs[0]).is_some() {
        return None;
    }
    let homes: Vec<Option<Home>> = node
        .inputs
        .iter()
        .map(|v| if p.fused_gather(*v).is_some() { None } else { p.home(*v).ok() })
        .collect();
    let indirect: Vec<ValueId> =
        node.inputs.iter().filter_map(|v| p.fused_gather(*v)).flat_map(|g| g.inputs.clone()).collect();
    let indirect: Vec<Root> = indirect.iter().filter_map(|v| p.home(*v).ok()).map(|h| h.root).collect();
    (0..node.inputs.len()).find(|&i| {
        let Some(h) = &homes[i] else { return false };
        let alone =
            homes.iter().enumerate().all(|(j, o)| j == i || o.as_ref().is_none_or(|o| o.root != h.root));
        matches!(h.root, Root::Buffer(_))
            && e.reads(i)
            && h.dtype == dtype
            && h.layout.dims == dims
            && h.layout.is_dense()
            && alone
            && !indirect.contains(&h.root)
            && p.dies_here(node.inputs[i])
    })
}

/// An operand where it lies, broadcast to the result.
fn plain(p: &mut Planner<'_>, operands: &mut Operands, v: ValueId, dims: &[usize]) -> Result<View, Invalid> {
    let (read, layout) = p.home(v)?.operand()?;
    let layout = layout.broadcast(dims);
    let dtype = read.dtype;
    let source = ViewSource::Slice(operands.slice(read));
    Ok(View { source, strides: layout.strides, offset: layout.offset as usize, dtype })
}

/// The result of a gather that is not made: its elements are read where the index says.
fn gathered(
    p: &mut Planner<'_>,
    operands: &mut Operands,
    gather: &Node,
    dims: &[usize],
) -> Result<View, Invalid> {
    let Op::Gather { axis, batch } = gather.op else { return Err(Invalid::new("a gather that is none")) };
    let (data, xl) = p.home(gather.inputs[0])?.operand()?;
    let (indices, il) = p.home(gather.inputs[1])?.operand()?;
    let dtype = data.dtype;
    // y = x[..axis] + index[batch..] + x[axis + 1..]
    let index_axes = il.dims.len() - batch;
    let mut strides = Vec::new();
    let mut index_strides = Vec::new();
    for a in 0..axis {
        strides.push(xl.strides[a]);
        index_strides.push(if a < batch { il.strides[a] } else { 0 });
    }
    for a in 0..index_axes {
        strides.push(0);
        index_strides.push(il.strides[batch + a]);
    }
    for a in axis + 1..xl.dims.len() {
        strides.push(xl.strides[a]);
        index_strides.push(0);
    }
    let made = Layout { dims: p.dims(gather.outputs[0]).to_vec(), strides, offset: xl.offset };
    let by = Layout { dims: made.dims.clone(), strides: index_strides, offset: il.offset };
    let source = ViewSource::Indexed {
        index_type: indices.dtype,
        slice: operands.slice(data),
        index: operands.slice(indices),
        index_strides: by.broadcast(dims).strides,
        index_offset: by.offset as usize,
        extent: xl.dims[axis],
        step: xl.strides[axis],
    };
    let made = made.broadcast(dims);
    Ok(View { source, strides: made.strides, offset: made.offset as usize, dtype })
}

/// The descriptor: the expression over the operands that are left, and the axes that they share.
fn build(
    e: &MapExpr,
    to: &[Option<usize>],
    constants: &[Option<Scalar>],
    operands: &mut Operands,
    dims: &[usize],
    out: &Layout,
) -> Result<Map, Invalid> {
    let mut values = Vec::new();
    let mut types: Vec<DType> = operands.views.iter().map(|v| v.dtype).collect();
    for inst in e.insts() {
        values.push(match *inst {
            Inst::Input(i) => match (to[i], constants[i]) {
                (Some(j), _) => Value::Input(j),
                (None, Some(x)) => Value::Const(x),
                (None, None) => return Err(Invalid::new("a map reads an operand that is not there")),
            },
            Inst::Const(x) => Value::Const(x),
            Inst::Iota(axis) => {
                let mut strides = vec![0; dims.len()];
                strides[axis] = 1;
                operands.views.push(View {
                    source: ViewSource::Position,
                    strides,
                    offset: 0,
                    dtype: DType::I64,
                });
                types.push(DType::I64);
                Value::Input(types.len() - 1)
            }
            Inst::Unary(op, a) => Value::Unary(op, a),
            Inst::Binary(op, a, b) => Value::Binary(op, a, b),
            Inst::MulAdd(a, b, c) => Value::MulAdd(a, b, c),
            Inst::Select(a, b, c) => Value::Select(a, b, c),
            Inst::Cast(t, a) => Value::Cast(t, a),
        });
    }
    let program = MapProgram::compile(&values, &types).map_err(|e| Invalid::new(e.to_string()))?;
    let axes = merged(dims, out, &operands.views)?;
    let list = |strides: &dyn Fn(usize) -> isize| {
        let mut array = [0; RANK];
        axes.iter().enumerate().for_each(|(i, run)| array[i] = strides(run.inner));
        array
    };
    let views = operands.views.iter().map(|v| rt::Operand {
        source: match &v.source {
            ViewSource::Slice(i) => Source::Slice(*i),
            ViewSource::Out => Source::Out,
            ViewSource::Position => Source::Position,
            ViewSource::Indexed { slice, index, index_type, index_strides, index_offset, extent, step } => {
                Source::Indexed {
                    slice: *slice,
                    index: *index,
                    index_type: *index_type,
                    index_strides: list(&|a| index_strides[a]),
                    index_offset: *index_offset,
                    extent: *extent,
                    step: *step,
                }
            }
        },
        strides: list(&|a| v.strides[a]),
        offset: v.offset,
    });
    let mut extents = [1; RANK];
    axes.iter().enumerate().for_each(|(i, run)| extents[i] = run.extent);
    let spec = MapSpec {
        rank: axes.len().max(1),
        dims: extents,
        out_strides: list(&|a| out.strides[a]),
        out_offset: out.offset as usize,
        operands: Cow::Owned(views.collect()),
        program,
    };
    Ok(Map::new(spec))
}

/// Axes that every tensor walks as one: the innermost of them, whose stride is that of all, and their extent.
struct Axes {
    inner: usize,
    extent: usize,
}

/// The axes of a map, in the order of the result's memory, with those merged that all tensors walk as one.
fn merged(dims: &[usize], out: &Layout, views: &[View]) -> Result<Vec<Axes>, Invalid> {
    let mut order: Vec<usize> = (0..dims.len()).filter(|&a| dims[a] != 1).collect();
    order.sort_by_key(|&a| std::cmp::Reverse(out.strides[a].unsigned_abs()));
    let joins = |outer: usize, inner: usize, extent: usize| {
        let one = |strides: &[isize]| strides[outer] == strides[inner] * extent as isize;
        one(&out.strides)
            && views.iter().all(|v| {
                one(&v.strides)
                    && match &v.source {
                        ViewSource::Indexed { index_strides, .. } => one(index_strides),
                        _ => true,
                    }
            })
    };
    let mut axes: Vec<Axes> = Vec::new();
    for a in order {
        match axes.last_mut() {
            Some(last) if joins(last.inner, a, dims[a]) => {
                *last = Axes { inner: a, extent: last.extent * dims[a] }
            }
            _ => axes.push(Axes { inner: a, extent: dims[a] }),
        }
    }
    if axes.len() > RANK {
        return Err(Invalid::new(format!("a map over {} axes that do not merge to {RANK}", axes.len())));
    }
    Ok(axes)
}

/// Adds bias and residual and applies the activation, over a product's result.
pub fn epilogue(p: &mut Planner<'_>, node: &Node, e: &Epilogue, home: &Home) -> Result<(), Invalid> {
    let (bias, residual) = extras(node, e);
    let (write, out) = home.operand()?;
    let dims = out.dims.clone();
    let mut operands = Operands::default();
    operands.views.push(View {
        source: ViewSource::Out,
        strides: out.strides.clone(),
        offset: out.offset as usize,
        dtype: home.dtype,
    });
    let mut types = vec![home.dtype];
    for v in [bias, residual].into_iter().flatten() {
        let v = match p.dims(v).len() {
            r if r == dims.len() => plain(p, &mut operands, v, &dims)?,
            _ => {
                let (read, layout) = p.home(v)?.operand()?;
                let mut lifted = vec![1; dims.len() - layout.dims.len()];
                lifted.extend(&layout.dims);
                let layout =
                    layout.reshape(&lifted).ok_or_else(|| Invalid::new("a bias of a wrong shape"))?;
                let layout = layout.broadcast(&dims);
                let source = ViewSource::Slice(operands.slice(read));
                View { source, strides: layout.strides, offset: layout.offset as usize, dtype: home.dtype }
            }
        };
        types.push(v.dtype);
        operands.views.push(v);
    }
    let mut expr = MapExpr::over(&types);
    let mut at = expr.push(Inst::Input(0))?;
    for i in 1..types.len() {
        let x = expr.push(Inst::Input(i))?;
        at = expr.push(Inst::Binary(Binary::Add, at, x))?;
    }
    let at = expr.activation(e.act, at, home.dtype)?;
    let expr = expr.finish(at);
    let to: Vec<Option<usize>> = (0..types.len()).map(Some).collect();
    let kernel = build(&expr, &to, &vec![None; types.len()], &mut operands, &dims, &out)?;
    let reads = operands.reads.into_iter().map(Some).collect();
    p.push(Kernel::Map(kernel), vec![write], reads);
    Ok(())
}

/// Gathers that are read through their index by the one map that needs them, with the position of that map.
pub fn fused_gathers(p: &Planner<'_>) -> HashMap<ValueId, usize> {
    let users = p.graph.users();
    let fused = |node: &Node| {
        let Op::Gather { .. } = node.op else { return None };
        let y = node.outputs[0];
        let [user] = users[y.index()][..] else { return None };
        let map = &p.graph.nodes()[user.index()];
        let whole = matches!(map.op, Op::Map(_)) && p.dims(map.outputs[0]) == p.dims(y);
        let apart = !node.inputs.iter().any(|&v| p.is_beside(v, map.outputs[0]));
        (whole && apart && p.uses(y) == 1).then_some((y, user.index()))
    };
    p.graph.nodes().iter().filter_map(fused).collect()
}
