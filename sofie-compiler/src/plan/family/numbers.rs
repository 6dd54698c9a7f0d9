//! Every integer of a plan in one order: what differs between the plans of one graph at different extents.
//! Generated from the table of descriptors' fields.

use crate::plan::fields::{choices, descriptors, names, plain_kernels};
use crate::plan::{Kernel, Layout, Operand, Plan};
use sofie_infer_runtime as rt;

/// Whether an integer is counted or may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A `usize`.
    Count,
    /// An `isize`.
    Stride,
}

/// What holds integers that depend on the extents.
pub trait Numbers {
    /// Replaces each by what `f` makes of it, in a fixed order.
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64);
}

impl Numbers for usize {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        // A count that is negative is that of something empty.
        *self = usize::try_from(f(Kind::Count, i64::try_from(*self).unwrap_or(i64::MAX))).unwrap_or(0);
    }
}

impl Numbers for isize {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        *self = f(Kind::Stride, *self as i64) as isize;
    }
}

/// What never depends on the extents: types, flags, factors, tables.
macro_rules! constants {
    ($($t:ty),* $(,)?) => {$(
        impl Numbers for $t {
            fn numbers(&mut self, _: &mut dyn FnMut(Kind, i64) -> i64) {}
        }
    )*};
}
constants!(bool, u8, u32, u64, i64, f32, rt::map::Scalar);

impl<T: Clone> Numbers for rt::Cow<'static, [T]> {
    fn numbers(&mut self, _: &mut dyn FnMut(Kind, i64) -> i64) {}
}

impl<T: Numbers, const N: usize> Numbers for [T; N] {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        self.iter_mut().for_each(|x| x.numbers(f));
    }
}

impl<T: Numbers> Numbers for Vec<T> {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        self.iter_mut().for_each(|x| x.numbers(f));
    }
}

impl<T: Numbers> Numbers for Option<T> {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        self.iter_mut().for_each(|x| x.numbers(f));
    }
}

macro_rules! structs {
    ($($($path:ident)::+ { $($field:ident),* $(,)? })*) => {$(
        impl Numbers for rt::$($path)::+ {
            fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
                let rt::$($path)::+ { $($field),* } = self;
                $($field.numbers(f);)*
            }
        }
    )*};
}
descriptors!(structs);

macro_rules! variants {
    ($($path:path { $($variant:ident $(($one:ident))? $({ $($field:ident),* $(,)? })?),* $(,)? })*) => {$(
        impl Numbers for $path {
            fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
                type E = $path;
                let _ = &f;
                match self {
                    $(E::$variant $(($one))? $({ $($field),* })? => {
                        $($one.numbers(f);)?
                        $($($field.numbers(f);)*)?
                    })*
                }
            }
        }
    )*};
}
choices!(variants);

macro_rules! plain {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(
            impl Numbers for rt::plain::$name {
                fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
                    let rt::plain::$name { $($field),* } = self;
                    $($field.numbers(f);)*
                }
            }
        )*

        impl Numbers for rt::plain::Plain {
            fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
                match self {
                    $(rt::plain::Plain::$name(k) => k.numbers(f),)*
                }
            }
        }
    };
}
plain_kernels!(plain);

macro_rules! named {
    ($($path:path;)*) => {
        constants!($($path),*);
    };
}
names!(named);

impl Numbers for rt::map::MapSpec {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        let rt::map::MapSpec { rank, dims, out_strides, out_offset, operands, program: _ } = self;
        let rank = *rank;
        dims[..rank].iter_mut().for_each(|n| n.numbers(f));
        out_strides[..rank].iter_mut().for_each(|n| n.numbers(f));
        out_offset.numbers(f);
        for rt::map::Operand { source, strides, offset } in operands.to_mut() {
            source.numbers(f);
            strides[..rank].iter_mut().for_each(|n| n.numbers(f));
            offset.numbers(f);
        }
    }
}

impl Numbers for rt::map::Map {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        let mut spec = self.spec().clone();
        spec.numbers(f);
        if spec != *self.spec() {
            *self = rt::map::Map::new(spec);
        }
    }
}

impl Numbers for Layout {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        let Layout { dims, strides, offset } = self;
        dims.numbers(f);
        strides.numbers(f);
        offset.numbers(f);
    }
}

impl Numbers for Operand {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        let Operand { root: _, dtype: _, start, len, holds } = self;
        start.numbers(f);
        len.numbers(f);
        if let Some((_, layout)) = holds {
            layout.numbers(f);
        }
    }
}

impl Numbers for Kernel {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        self.numbers_of(f);
    }
}

impl Numbers for Plan {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        self.inputs.iter_mut().for_each(|port| port.dims.numbers(f));
        for (port, operand) in &mut self.outputs {
            port.dims.numbers(f);
            operand.numbers(f);
        }
        self.check.numbers(f);
        self.extents.iter_mut().for_each(|(_, _, operand)| operand.numbers(f));
        for step in &mut self.steps {
            step.kernel.numbers(f);
            step.writes.numbers(f);
            step.reads.numbers(f);
        }
        for p in &mut self.preparations {
            p.kernel.numbers(f);
            p.weights.numbers(f);
            p.prepared.numbers(f);
        }
    }
}
