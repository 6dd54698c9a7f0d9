//! Runs a plan in this process with the very kernels that the emitted code calls: what tests and tools
//! use to see that a plan computes what its graph says, without a rustc run.

use super::family::Family;
use super::kernel::Kernel;
use super::{If, Loop, Operand, Plan, Root, Step};
use crate::ir::eval::plain::Elements;
use crate::ir::{Invalid, Tensor, Value};
use sofie_infer_runtime::{DType, bf16, f16, map, recurrent};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::ir::eval::DISAGREES;

/// The outputs for the given inputs, in order.
///
/// # Errors
/// Where the inputs are not what the plan takes.
pub fn execute(plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, Invalid> {
    profile(plan, inputs).map(|(outputs, _)| outputs)
}

/// The outputs, and the time that each step's kernel took, on operands that were just copied.
///
/// # Errors
/// Where the inputs are not what the plan takes.
pub fn profile(plan: &Plan, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Duration>), Invalid> {
    run(plan.clone(), inputs, &mut |_, _| Ok(None))
}

/// The outputs for the given inputs, by a family where there is one.
///
/// # Errors
/// As [`profile`].
pub fn execute_within(
    plan: &Plan,
    family: Option<&Family>,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, Invalid> {
    let results = match family {
        Some(family) => profile_family(family, inputs),
        None => profile(plan, inputs),
    };
    results.map(|(outputs, _)| outputs)
}

/// As [`profile`] of the plan of a family at the extents that the inputs have and that values decide on the way.
///
/// # Errors
/// As [`profile`].
pub fn profile_family(family: &Family, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Duration>), Invalid> {
    let mut extents = family.corner(false);
    let mut axes = family.index.inputs.iter().zip(inputs).flat_map(|(at, x)| (*at..).zip(x.dims()));
    let own: Vec<(Arc<str>, i64)> = axes
        .by_ref()
        .filter_map(|(at, n)| Some((family.numbers.get(at)?.as_symbol()?.name.clone(), *n as i64)))
        .collect();
    extents.extend(own);
    let plan = family.at(&extents)?;
    run(plan, inputs, &mut |step, n| {
        let Some(symbol) = family.finds(step) else { return Ok(None) };
        if n < symbol.least {
            return Err(Invalid::new(DISAGREES));
        }
        extents.insert(symbol.name.clone(), n);
        family.at(&extents).map(Some)
    })
}

/// Runs a plan; where a step finds an extent, `found` gives the plan to go on with, of the same places.
fn run(
    plan: Plan,
    inputs: &[Tensor],
    found: &mut dyn FnMut(usize, i64) -> Result<Option<Plan>, Invalid>,
) -> Result<(Vec<Tensor>, Vec<Duration>), Invalid> {
    let fits = |(t, p): (&Tensor, &super::Port)| t.dtype() == p.dtype && t.dims() == p.dims;
    if inputs.len() != plan.inputs.len() || !inputs.iter().zip(&plan.inputs).all(fits) {
        return Err(Invalid::new("the inputs do not fit the plan"));
    }
    // A fresh arena is zero in a session too, but nothing may depend on it: fill it with NaN.
    let (arena, prepared) = (vec![0xff; plan.arena_bytes], vec![0xff; plan.prepared_bytes()]);
    let mut memory = Memory { plan, inputs, arena, prepared, spent: Duration::ZERO };
    for p in &memory.plan.preparations.clone() {
        let weights = memory.load::<f32>(Some(&p.weights));
        let mut prepared = vec![0.0; p.prepared.len];
        p.kernel.prepare(&weights, &mut prepared);
        let bytes: Vec<u8> = prepared.iter().flat_map(|x| x.to_le_bytes()).collect();
        let range = memory.range(&p.prepared);
        memory.prepared[range].copy_from_slice(&bytes);
    }
    let mut times = Vec::with_capacity(memory.plan.steps.len());
    for i in 0..memory.plan.steps.len() {
        memory.spent = Duration::ZERO;
        let step = memory.plan.steps[i].clone();
        if let Kernel::Found(k) = &step.kernel {
            let n = memory.read::<i64>(&step, 0).first().copied().unwrap_or(0);
            let n = n.clamp(0, i64::try_from(k.room).unwrap_or(i64::MAX));
            match found(i, n)? {
                Some(plan) => memory.plan = plan,
                // What is found again is a number of the plan, as it is by now.
                None if usize::try_from(n) == Ok(k.extent) => {}
                None => return Err(Invalid::new(DISAGREES)),
            }
        } else {
            memory.step(&step)?;
        }
        times.push(memory.spent);
    }
    let plan = memory.plan.clone();
    if plan.check.as_ref().is_some_and(|o| memory.bytes(o) == [0]) {
        return Err(Invalid::new(DISAGREES));
    }
    let outputs = plan.outputs.iter().map(|(port, operand)| {
        Tensor::from_bytes(port.dtype, port.dims.clone(), memory.bytes(operand).to_vec())
            .ok_or_else(|| Invalid::new("an output of another size than its shape says"))
    });
    let mut outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    for (i, axis, operand) in &plan.extents {
        let n = memory.load::<i64>(Some(operand)).first().copied().unwrap_or(0);
        outputs[*i] = outputs[*i].cut(*axis, n.max(0) as usize);
    }
    Ok((outputs, times))
}

/// Runs an expression with `$t` standing for the Rust type of an element; another type is an error.
macro_rules! among {
    ($dtype:expr, $t:ident => $body:expr, [$($d:ident $ty:ty),*] $(, else $what:literal)?) => {
        match $dtype {
            $(DType::$d => {
                type $t = $ty;
                $body
            })*
            $(other => return Err(Invalid::new(format!(concat!($what, " over {}"), other))),)?
        }
    };
}

/// Any type; bools are `u8` in memory.
macro_rules! typed {
    ($dtype:expr, $t:ident => $body:expr) => {
        among!($dtype, $t => $body, [
            F32 f32, F64 f64, F16 f16, BF16 bf16, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, Bool u8, U16 u16, U32 u32,
            U64 u64
        ])
    };
}

/// As `typed` for the floats.
macro_rules! floats {
    ($dtype:expr, $t:ident => $body:expr) => {
        among!($dtype, $t => $body, [F32 f32, F64 f64, F16 f16, BF16 bf16], else "a kernel for floats")
    };
}

/// As `typed` without `f32`, which has kernels of its own.
macro_rules! not_f32 {
    ($dtype:expr, $t:ident => $body:expr) => {
        among!($dtype, $t => $body, [
            F64 f64, F16 f16, BF16 bf16, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, Bool u8, U16 u16, U32 u32, U64 u64
        ], else "a plain kernel")
    };
}

/// As `floats` without `f32`.
macro_rules! other_floats {
    ($dtype:expr, $t:ident => $body:expr) => {
        among!($dtype, $t => $body, [F64 f64, F16 f16, BF16 bf16], else "a plain kernel for floats")
    };
}

/// The types of plain convolutions.
macro_rules! convolved {
    ($dtype:expr, $t:ident => $body:expr) => {
        among!($dtype, $t => $body, [F64 f64, F16 f16, BF16 bf16, I32 i32, I64 i64], else "a plain convolution")
    };
}

struct Memory<'a> {
    plan: Plan,
    inputs: &'a [Tensor],
    arena: Vec<u8>,
    prepared: Vec<u8>,
    /// Time in kernels since the step began.
    spent: Duration,
}

impl Memory<'_> {
    fn range(&self, o: &Operand) -> std::ops::Range<usize> {
        let start = self.plan.operand_offset(o);
        start..start + o.len * o.dtype.size()
    }

    fn bytes(&self, o: &Operand) -> &[u8] {
        let from = match o.root {
            Root::Buffer(_) => &self.arena[..],
            Root::Input(i) => self.inputs[i].bytes(),
            Root::Weights => self.plan.weights.bytes(),
            Root::Prepared => &self.prepared,
        };
        &from[self.range(o)]
    }

    fn load<T: Value>(&self, o: Option<&Operand>) -> Vec<T> {
        o.map(|o| self.bytes(o).chunks_exact(size_of::<T>()).map(T::from_le).collect()).unwrap_or_default()
    }

    fn read<T: Value>(&self, step: &Step, i: usize) -> Vec<T> {
        self.load(step.reads.get(i).and_then(Option::as_ref))
    }

    /// Runs `f` on a copy of what the operand holds and writes that back.
    fn write<T: Value>(&mut self, o: &Operand, f: impl FnOnce(&mut [T])) {
        let mut values = self.load::<T>(Some(o));
        let start = Instant::now();
        f(&mut values);
        self.spent += start.elapsed();
        let mut bytes = Vec::new();
        values.into_iter().for_each(|v| v.push_le(&mut bytes));
        let range = self.range(o);
        self.arena[range].copy_from_slice(&bytes);
    }

    fn elements(&self, o: &Operand) -> Elements {
        Elements::from_le(o.dtype, self.bytes(o))
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Invalid> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn holds(&self, o: &Operand) -> bool {
        self.bytes(o) != [0]
    }

    fn branch(&mut self, k: &If) -> Result<(), Invalid> {
        let chosen = if self.holds(&k.condition) { &k.then } else { &k.otherwise };
        self.steps(&chosen.steps)
    }

    fn repeat(&mut self, k: &Loop) -> Result<(), Invalid> {
        let trips = k.trips.as_ref().and_then(|o| self.load::<i64>(Some(o)).first().copied());
        let trips = trips.map_or(k.most, |n| n.min(k.most));
        let mut i = 0;
        self.write::<i64>(&k.counter, |n| n[0] = 0);
        while i < trips && k.go.as_ref().is_none_or(|o| self.holds(o)) {
            self.steps(&k.body.steps)?;
            i += 1;
            self.write::<i64>(&k.counter, |n| n[0] = i);
        }
        Ok(())
    }

    fn step(&mut self, s: &Step) -> Result<(), Invalid> {
        match &s.kernel {
            Kernel::If(k) => return self.branch(k),
            Kernel::Loop(k) => return self.repeat(k),
            _ => {}
        }
        let (y, dtype) = (&s.writes[0], s.writes[0].dtype);
        match &s.kernel {
            Kernel::Copy(k) => typed!(dtype, T => {
                let x = self.read::<T>(s, 0);
                self.write::<T>(y, |y| k.run(y, &x));
            }),
            Kernel::Pad(k) => typed!(dtype, T => {
                let x = self.read::<T>(s, 0);
                self.write::<T>(y, |y| k.run(y, &x));
            }),
            Kernel::Gather(k) => typed!(dtype, T => {
                let x = self.read::<T>(s, 0);
                if s.reads_i32(1) {
                    let index = self.read::<i32>(s, 1);
                    self.write::<T>(y, |y| k.run(y, &x, &index));
                } else {
                    let index = self.read::<i64>(s, 1);
                    self.write::<T>(y, |y| k.run(y, &x, &index));
                }
            }),
            Kernel::Scatter(k) => typed!(dtype, T => {
                let updates = self.read::<T>(s, 1);
                if s.reads_i32(0) {
                    let index = self.read::<i32>(s, 0);
                    self.write::<T>(y, |y| k.run(y, &index, &updates));
                } else {
                    let index = self.read::<i64>(s, 0);
                    self.write::<T>(y, |y| k.run(y, &index, &updates));
                }
            }),
            Kernel::TopK(k) => typed!(dtype, T => {
                let x = self.read::<T>(s, 0);
                let mut values = vec![T::default(); y.len];
                self.write::<i64>(&s.writes[1], |indices| k.run(&mut values, indices, &x));
                if y.len > 0 {
                    self.write::<T>(y, |y| y.copy_from_slice(&values));
                }
            }),
            Kernel::Gemm(k) => {
                let [a, w, bias, residual] = [0, 1, 2, 3].map(|i| self.read::<f32>(s, i));
                self.write::<f32>(y, |c| k.run(c, &a, &w, &bias, &residual));
            }
            Kernel::BatchedGemm(k) => {
                let [a, b] = [0, 1].map(|i| self.read::<f32>(s, i));
                let mut scratch = vec![f32::NAN; k.scratch()];
                self.write::<f32>(y, |c| k.run(c, &a, &b, &mut scratch));
            }
            Kernel::Attention(k) => {
                let [q, keys, v, mask] = [0, 1, 2, 3].map(|i| self.read::<f32>(s, i));
                let mut scratch = vec![f32::NAN; k.scratch()];
                self.write::<f32>(y, |y| k.run(y, &q, &keys, &v, &mask, &mut scratch));
            }
            Kernel::Map(k) => {
                let slices: Vec<Elements> = s.reads.iter().flatten().map(|o| self.elements(o)).collect();
                let slices: Vec<map::Src<'_>> = slices.iter().map(Elements::src).collect();
                if dtype == DType::Bool {
                    self.write::<u8>(y, |y| k.run(map::Dst::bools(y), &slices));
                } else {
                    typed!(dtype, T => self.write::<T>(y, |y| k.run(y.into(), &slices)));
                }
            }
            Kernel::If(_) | Kernel::Loop(_) | Kernel::Found(_) => {}
            Kernel::Custom(k) => {
                return Err(Invalid::new(format!(
                    "{} is a function of the program that calls it",
                    k.operator
                )));
            }
            Kernel::Plain(k) => {
                let reads: Vec<Elements> = s.reads.iter().flatten().map(|o| self.elements(o)).collect();
                let reads: Vec<map::Src<'_>> = reads.iter().map(Elements::src).collect();
                let mut writes: Vec<Elements> = s.writes.iter().map(|o| self.elements(o)).collect();
                let start = Instant::now();
                k.algorithm().run(&mut writes.iter_mut().map(Elements::dst).collect::<Vec<_>>(), &reads);
                self.spent += start.elapsed();
                for (o, y) in s.writes.iter().zip(&writes) {
                    let range = self.range(o);
                    self.arena[range].copy_from_slice(&y.to_le());
                }
            }
            Kernel::Recurrent(k) => {
                let [x, w, r, bias, peepholes] = [0, 1, 2, 3, 4].map(|i| self.read::<f32>(s, i));
                let (lens, h, c) = (self.read::<i32>(s, 5), self.read::<f32>(s, 6), self.read::<f32>(s, 7));
                let mut results = [0, 1, 2].map(|i| self.load::<f32>(Some(&s.writes[i])));
                let mut scratch = vec![f32::NAN; k.scratch()];
                let [out_y, out_h, out_c] = &mut results;
                let start = Instant::now();
                k.run(
                    recurrent::Results { y: out_y, h: out_h, c: out_c },
                    &x,
                    recurrent::Weights { w: &w, r: &r, bias: &bias, peepholes: &peepholes },
                    recurrent::State { lens: &lens, h: &h, c: &c },
                    &mut scratch,
                );
                self.spent += start.elapsed();
                for (o, values) in s.writes.iter().zip(results).filter(|(o, _)| o.len > 0) {
                    self.write::<f32>(o, |y| y.copy_from_slice(&values));
                }
            }
            Kernel::Conv(k) => {
                let [x, w, prepared, bias, residual] = [0, 1, 2, 3, 4].map(|i| self.read::<f32>(s, i));
                let mut scratch = vec![f32::NAN; k.scratch()];
                self.write::<f32>(y, |y| k.run(y, &x, &w, &prepared, &bias, &residual, &mut scratch));
            }
            Kernel::ConvPool(k) => {
                let [x, w, bias] = [0, 1, 2].map(|i| self.read::<f32>(s, i));
                let mut scratch = vec![f32::NAN; k.scratch()];
                self.write::<f32>(y, |y| k.run(y, &x, &w, &bias, &mut scratch));
            }
            Kernel::Separable(k) => {
                let x = self.read::<f32>(s, 0);
                let [w0, b0, w1, b1, w2, b2, residual] =
                    [1, 2, 3, 4, 5, 6, 7].map(|i| self.read::<f32>(s, i));
                let mut scratch = vec![f32::NAN; k.scratch()];
                self.write::<f32>(y, |y| k.run(y, &x, &w0, &b0, &w1, &b1, &w2, &b2, &residual, &mut scratch));
            }
            Kernel::ConvPack(k) => {
                let w = self.read::<f32>(s, 0);
                self.write::<f32>(y, |y| k.pack_into(y, &w));
            }
            Kernel::ConvTransposePack(k) => {
                let w = self.read::<f32>(s, 0);
                self.write::<f32>(y, |y| k.pack_into(y, &w));
            }
            Kernel::ConvPlain(k) => convolved!(dtype, T => {
                let [x, w, bias, residual] = [0, 1, 2, 3].map(|i| self.read::<T>(s, i));
                self.write::<T>(y, |y| k.run_plain(y, &x, &w, &bias, &residual));
            }),
            Kernel::ConvTranspose(k) => {
                let [x, w, bias, residual] = [0, 1, 2, 3].map(|i| self.read::<f32>(s, i));
                let mut scratch = vec![f32::NAN; k.scratch()];
                self.write::<f32>(y, |y| k.run(y, &x, &w, &bias, &residual, &mut scratch));
            }
            Kernel::ConvTransposePlain(k) => convolved!(dtype, T => {
                let [x, w, bias, residual] = [0, 1, 2, 3].map(|i| self.read::<T>(s, i));
                self.write::<T>(y, |y| k.run_plain(y, &x, &w, &bias, &residual));
            }),
            Kernel::Pool(k) => {
                let x = self.read::<f32>(s, 0);
                self.write::<f32>(y, |y| k.run(y, &x));
            }
            Kernel::PoolPlain(k) => not_f32!(dtype, T => {
                let x = self.read::<T>(s, 0);
                self.write::<T>(y, |y| k.run_plain(y, &x));
            }),
            Kernel::Interpolate(k) => {
                let (x, index, weight) =
                    (self.read::<f32>(s, 0), self.read::<u32>(s, 1), self.read::<f32>(s, 2));
                self.write::<f32>(y, |y| k.run(y, &x, &index, &weight));
            }
            Kernel::InterpolatePlain(k) => other_floats!(dtype, T => {
                let (x, index, weight) = (self.read::<T>(s, 0), self.read::<u32>(s, 1), self.read::<f32>(s, 2));
                self.write::<T>(y, |y| k.run_plain(y, &x, &index, &weight));
            }),
            Kernel::InterpolateCopy(k) => typed!(dtype, T => {
                let (x, index) = (self.read::<T>(s, 0), self.read::<u32>(s, 1));
                self.write::<T>(y, |y| k.run_copy(y, &x, &index));
            }),
            Kernel::Reduce(k) => typed!(dtype, T => {
                let x = self.read::<T>(s, 0);
                self.write::<T>(y, |y| k.run(y, &x));
            }),
            Kernel::ArgReduce(k) => typed!(s.read_type(0), T => {
                let x = self.read::<T>(s, 0);
                self.write::<i64>(y, |y| k.run(y, &x));
            }),
            Kernel::Rows(k) => floats!(dtype, T => {
                let [x, scale, bias] = [0, 1, 2].map(|i| self.read::<T>(s, i));
                self.write::<T>(y, |y| k.run(y, &x, &scale, &bias));
            }),
            Kernel::RowsInPlace(k) => floats!(dtype, T => {
                let [scale, bias] = [0, 1].map(|i| self.read::<T>(s, i));
                self.write::<T>(y, |y| k.run_in_place(y, &scale, &bias));
            }),
        }
        Ok(())
    }
}
