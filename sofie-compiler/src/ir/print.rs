//! Prints a graph as text: one node a line, for snapshots and for people.

use super::{Graph, Op, ValueId};
use std::fmt;

fn list(f: &mut fmt::Formatter<'_>, values: &[ValueId]) -> fmt::Result {
    for (i, v) in values.iter().enumerate() {
        write!(f, "{}%{}", if i == 0 { "" } else { ", " }, v.index())?;
    }
    Ok(())
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for input in self.inputs() {
            let v = self.value(input.value);
            writeln!(f, "input %{} {:?}: {}{}", input.value.index(), input.name, v.dtype, v.shape)?;
        }
        for node in self.nodes() {
            list(f, &node.outputs)?;
            f.write_str(": ")?;
            for (i, v) in node.outputs.iter().enumerate() {
                let sep = if i == 0 { "" } else { ", " };
                write!(f, "{sep}{}{}", self.dtype(*v), self.shape(*v))?;
            }
            write!(f, " = {}", node.op)?;
            f.write_str("(")?;
            list(f, &node.inputs)?;
            f.write_str(")")?;
            if !node.origin.is_empty() {
                write!(f, "  # {}", node.origin.join(" + "))?;
            }
            writeln!(f)?;
            for (i, body) in node.op.bodies().into_iter().enumerate() {
                f.write_str(if i == 0 { "  {\n" } else { "  } else {\n" })?;
                for line in body.to_string().lines() {
                    writeln!(f, "    {line}")?;
                }
            }
            if !node.op.bodies().is_empty() {
                f.write_str("  }\n")?;
            }
        }
        for output in self.outputs() {
            writeln!(f, "output {:?} = %{}", output.name, output.value.index())?;
        }
        Ok(())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Op::Const(t) if t.len() <= 8 => write!(f, " {t:?}"),
            Op::Const(_) | Op::Reshape(_) | Op::Broadcast(_) => Ok(()),
            Op::Map(e) => write!(f, " {e}"),
            Op::Reduce(kind, axes) => write!(f, " {kind:?} {axes:?}"),
            Op::ArgReduce { max, axis, last } => write!(f, " max={max} axis={axis} last={last}"),
            Op::Scan { product, axis, exclusive, reverse } => {
                write!(f, " product={product} axis={axis} exclusive={exclusive} reverse={reverse}")
            }
            Op::MatMul(e) => write!(f, "{e}"),
            Op::Conv(c, e) => write!(f, " {:?} group={}{e}", c.window, c.group),
            Op::ConvTranspose(c, e) => write!(f, " {:?} group={}{e}", c.window, c.group),
            Op::Pool(p) => write!(f, " {:?} {:?}", p.kind, p.window),
            Op::Transpose(perm) => write!(f, " {perm:?}"),
            Op::Slice { start, step, .. } => {
                write!(f, " start={} step={step:?}", super::Shape::new(start.clone()))
            }
            Op::Windows { axis, .. } => write!(f, " axis={axis}"),
            Op::Cut { axis, extent } => write!(f, " axis={axis} extent={extent}"),
            Op::Concat(axis) | Op::GatherElements(axis) | Op::Interpolate(axis) => write!(f, " axis={axis}"),
            Op::Pad { before, after, value } => {
                let (b, a) = (super::Shape::new(before.clone()), super::Shape::new(after.clone()));
                write!(f, " before={b} after={a} value={}", value.to_f64())
            }
            Op::Gather { axis, batch } => write!(f, " axis={axis} batch={batch}"),
            Op::GatherNd { batch } => write!(f, " batch={batch}"),
            Op::ScatterElements(axis, kind) => write!(f, " axis={axis} {kind:?}"),
            Op::ScatterNd(kind) => write!(f, " {kind:?}"),
            Op::TopK { k, largest } => write!(f, " k={k} largest={largest}"),
            Op::Rows(kind) => write!(f, " {kind:?}"),
            Op::Recurrent(r) => write!(f, " {r:?}"),
            Op::Attention(a) => write!(f, " {a:?}"),
            Op::Plain(p) => write!(f, " {:?}", p.kernel),
            Op::Custom(c) => write!(f, " {} {:?}", c.operator, c.attributes),
            Op::If(_) => Ok(()),
            Op::Loop(l) => {
                write!(f, " states={} most={} counted={} ends={}", l.states, l.most, l.counted, l.ends)
            }
        }
    }
}

impl fmt::Display for super::Epilogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (there, name) in [(self.bias, " +bias"), (self.residual, " +residual")] {
            if there {
                f.write_str(name)?;
            }
        }
        if self.act != sofie_infer_runtime::Act::None {
            write!(f, " {:?}", self.act)?;
        }
        Ok(())
    }
}
