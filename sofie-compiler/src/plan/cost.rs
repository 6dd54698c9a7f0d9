//! What a step costs: arithmetic as the descriptor says it, bytes as the operands do. What a kernel saves by an
//! algorithm of its own (Winograd, skipped padding) is not taken off, so that rates of different steps compare.

use super::kernel::Kernel;
use super::{Plan, Step};
use sofie_infer_runtime::conv::Conv;
use sofie_infer_runtime::pool::Pool;
use sofie_infer_runtime::rows::RowKind;
use std::iter::Sum;

/// Arithmetic and memory traffic of one step, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations on numbers: a multiply-add is two, a scalar function (`exp`, a comparison) one. Copies, gathers,
    /// scatters, sorts and the runtime's plain algorithms count none.
    pub flop: u64,
    /// Those among them in products: matrix products, convolutions, attention, recurrent layers.
    pub product_flop: u64,
    /// Bytes of all operands that are read, weights among them.
    pub read_bytes: u64,
    /// Bytes of all results, scratch left out.
    pub written_bytes: u64,
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |a, b| Cost {
            flop: a.flop.saturating_add(b.flop),
            product_flop: a.product_flop.saturating_add(b.product_flop),
            read_bytes: a.read_bytes.saturating_add(b.read_bytes),
            written_bytes: a.written_bytes.saturating_add(b.written_bytes),
        })
    }
}

impl Cost {
    fn times(self, n: u64) -> Cost {
        Cost {
            flop: self.flop.saturating_mul(n),
            product_flop: self.product_flop.saturating_mul(n),
            read_bytes: self.read_bytes.saturating_mul(n),
            written_bytes: self.written_bytes.saturating_mul(n),
        }
    }
}

impl Step {
    /// What the step costs: of an `If` the dearer branch, of a loop that ends by itself one iteration.
    pub fn cost(&self) -> Cost {
        match &self.kernel {
            Kernel::If(k) => {
                let [a, b] = [&k.then, &k.otherwise].map(|b| b.steps.iter().map(Step::cost).sum::<Cost>());
                return if a.flop.max(a.read_bytes) < b.flop.max(b.read_bytes) { b } else { a };
            }
            Kernel::Loop(k) => {
                let once: Cost = k.body.steps.iter().map(Step::cost).sum();
                // How often is known where nothing else ends the loop.
                let known = k.trips.is_none() && k.go.is_none();
                return once.times(if known { k.most.unsigned_abs() } else { 1 });
            }
            _ => {}
        }
        let product_flop = product(&self.kernel);
        let bytes = |n: usize, size: usize| (n as u64).saturating_mul(size as u64);
        let results = self.writes.len() - usize::from(self.kernel.takes_scratch()).min(self.writes.len());
        let read_bytes: u64 = self.reads.iter().flatten().map(|o| bytes(o.len, o.dtype.size())).sum();
        let written_bytes = self.writes[..results].iter().map(|o| bytes(o.len, o.dtype.size())).sum();
        // What works in place reads what it writes.
        let in_place = matches!(self.kernel, Kernel::RowsInPlace(_) | Kernel::Scatter(_));
        Cost {
            flop: product_flop.saturating_add(elementwise(self)),
            product_flop,
            read_bytes: read_bytes.saturating_add(if in_place { written_bytes } else { 0 }),
            written_bytes,
        }
    }
}

impl Plan {
    /// What one run costs.
    pub fn cost(&self) -> Cost {
        self.steps.iter().map(Step::cost).sum()
    }
}

/// The product of extents; a number that does not fit is the largest there is.
fn volume(of: &[usize]) -> u64 {
    of.iter().fold(1, |n, &extent| n.saturating_mul(extent as u64))
}

/// Multiplications and additions of a product as it is written; 0 for what is none.
fn product(kernel: &Kernel) -> u64 {
    let count = match kernel {
        Kernel::Gemm(g) => volume(&[g.m, g.k, g.n]),
        Kernel::BatchedGemm(g) => volume(&[g.m, g.k, g.n]).saturating_mul(volume(&g.batch[..g.batch_rank])),
        Kernel::Attention(a) => volume(&[a.batch, a.heads, a.queries, a.keys, a.depth + a.width]),
        Kernel::Conv(c) | Kernel::ConvPlain(c) => multiply_adds(c),
        Kernel::ConvPool(k) => multiply_adds(&k.conv),
        Kernel::Separable(k) => {
            k.before.iter().chain([&k.depthwise]).chain(&k.behind).map(multiply_adds).sum()
        }
        Kernel::ConvTranspose(c) | Kernel::ConvTransposePlain(c) => {
            volume(&[c.batch, c.window.x_pixels(), c.window.taps(), c.c, c.m / c.group.max(1)])
        }
        Kernel::Recurrent(r) => volume(&[r.steps, r.batch, r.cell.gates(), r.hidden, r.input + r.hidden]),
        _ => 0,
    };
    count.saturating_mul(2)
}

fn multiply_adds(c: &Conv) -> u64 {
    volume(&[c.batch, c.window.y_pixels(), c.window.taps(), c.c / c.group.max(1), c.m])
}

/// One operation for each element of each window.
fn pooled(p: &Pool) -> u64 {
    volume(&[p.batch, p.window.y_pixels(), p.window.taps(), p.c])
}

/// Operations of everything that is no product.
fn elementwise(step: &Step) -> u64 {
    let written = step.writes.first().map_or(0, |o| o.len as u64);
    match &step.kernel {
        Kernel::Map(m) => (m.len() as u64).saturating_mul(m.spec().program.insts().len() as u64),
        Kernel::Pool(p) | Kernel::PoolPlain(p) => pooled(p),
        Kernel::ConvPool(k) => pooled(&k.pool),
        Kernel::Reduce(_) | Kernel::ArgReduce(_) => {
            step.reads.first().and_then(Option::as_ref).map_or(0, |o| o.len as u64)
        }
        Kernel::Interpolate(i) | Kernel::InterpolatePlain(i) => written.saturating_mul(2 * i.taps as u64),
        Kernel::Rows(r) | Kernel::RowsInPlace(r) => volume(&[r.rows, r.n, row(&r.kind)]),
        // The softmax between the two products.
        Kernel::Attention(a) => volume(&[a.batch, a.heads, a.queries, a.keys, row(&RowKind::Softmax)]),
        _ => 0,
    }
}

/// Operations for an element of a row program.
fn row(kind: &RowKind) -> usize {
    match kind {
        // Largest, difference, exponential, sum, division.
        RowKind::Softmax => 5,
        // Largest, difference, exponential, sum, difference.
        RowKind::LogSoftmax => 5,
        // Sum, difference, square and sum, scale, scale, bias.
        RowKind::LayerNorm { .. } => 7,
        // Square and sum, scale, scale.
        RowKind::RmsNorm { .. } => 4,
    }
}
