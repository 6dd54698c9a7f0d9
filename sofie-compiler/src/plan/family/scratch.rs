//! How much scratch a kernel needs at the most. Kernels choose blocks by their extents, so what they need is no
//! polynomial and need not grow with the extents: what decides it is walked through.

use super::Family;
use crate::ir::{Dim, Extents, Invalid};
use crate::plan::Kernel;
use sofie_infer_runtime::conv::{Algo, Conv, Window};

/// Extents that are walked through for one kernel.
const WALK: i64 = 1 << 16;
/// Tiles of a Winograd convolution from which on its blocks are as large as they get.
const TILES: usize = 512;

/// Elements of scratch that each step needs at the most; 0 where it takes none.
pub fn limits(family: &Family) -> Result<Vec<usize>, Invalid> {
    (0..family.template.steps.len()).map(|step| limit(family, step)).collect()
}

fn scratch(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::BatchedGemm(k) => k.scratch(),
        Kernel::Conv(k) => k.scratch(),
        Kernel::ConvTranspose(k) => k.scratch(),
        Kernel::Recurrent(k) => k.scratch(),
        Kernel::Attention(k) => k.scratch(),
        _ => 0,
    }
}

fn limit(family: &Family, step: usize) -> Result<usize, Invalid> {
    if !family.template.steps[step].kernel.takes_scratch() {
        return Ok(0);
    }
    let most = family.kernel_at(step, &mut |d| d.whole_range().1);
    let least = family.kernel_at(step, &mut |d| d.whole_range().0);
    if most == least {
        return Ok(scratch(&most));
    }
    Ok(match most {
        Kernel::Attention(k) => {
            // More than a few queries need more than few do, and copied keys more than others.
            let strides = [
                k.k[0],
                k.k[1],
                if matches!(&least, Kernel::Attention(l) if l.k[2] != k.k[2]) { 1024 } else { k.k[2] },
                k.k[3],
            ];
            let many = k.queries.max(64);
            [k.queries, many]
                .into_iter()
                .flat_map(|queries| [k.k, strides].map(|strides| (queries, strides)))
                .map(|(queries, strides)| scratch(&Kernel::Attention(attention(&k, queries, strides))))
                .max()
                .unwrap_or(0)
        }
        Kernel::BatchedGemm(k) => {
            let Kernel::BatchedGemm(l) = least else { return Ok(0) };
            if k.k.abs_diff(l.k) as i64 > WALK {
                return Err(too_many(family, step));
            }
            let at = |depth: usize| {
                let many = sofie_infer_runtime::gemm::BatchedGemm { k: depth, m: k.m.max(64), ..k.clone() };
                let few = sofie_infer_runtime::gemm::BatchedGemm { m: l.m, b_column: 2, ..many.clone() };
                many.scratch().max(few.scratch())
            };
            (l.k..=k.k).map(at).max().unwrap_or(0)
        }
        Kernel::Recurrent(k) => {
            let Kernel::Recurrent(l) = least else { return Ok(0) };
            if k.batch.abs_diff(l.batch) as i64 > WALK {
                return Err(too_many(family, step));
            }
            let at = |batch| sofie_infer_runtime::recurrent::Recurrent { batch, ..k.clone() }.scratch();
            (l.batch..=k.batch).map(at).max().unwrap_or(0)
        }
        Kernel::Conv(Conv { algo: Algo::Winograd(_), .. }) => {
            let Kernel::Conv(k) = most else { return Ok(0) };
            // Its blocks depend on the number of tiles alone.
            let window = Window { y: [1, 1, 1], ..k.window };
            (1..=TILES).map(|batch| Conv { batch, window, ..k.clone() }.scratch()).max().unwrap_or(0)
        }
        _ => walk(family, step)?,
    })
}

fn attention(
    k: &sofie_infer_runtime::attention::Attention,
    queries: usize,
    strides: [usize; 4],
) -> sofie_infer_runtime::attention::Attention {
    sofie_infer_runtime::attention::Attention { queries, k: strides, ..k.clone() }
}

/// Convolutions: the spatial extents are walked through; the batch does not matter.
fn walk(family: &Family, step: usize) -> Result<usize, Invalid> {
    let mut names = Vec::new();
    let windows = |kernel: &Kernel| match kernel {
        Kernel::Conv(k) => Some((k.window, k.ldx, k.ldy)),
        Kernel::ConvTranspose(k) => Some((k.window, k.ldx, k.ldy)),
        _ => None,
    };
    for s in &family.symbols {
        // Whether the symbol is in anything but the batch.
        let at = |n: i64| {
            let mut extents = family.corner(true);
            extents.insert(s.name.clone(), n);
            windows(&family.kernel_at(step, &mut |d| value(d, &extents)))
        };
        if at(s.least) != at(s.most) {
            names.push(s.clone());
        }
    }
    let count =
        names.iter().fold(1i64, |n, s| n.saturating_mul(s.most.saturating_sub(s.least).saturating_add(1)));
    if count > WALK {
        return Err(too_many(family, step));
    }
    let mut largest = 0;
    for mut i in 0..count {
        let mut extents = family.corner(true);
        for s in &names {
            let room = s.most - s.least + 1;
            extents.insert(s.name.clone(), s.least + i % room);
            i /= room;
        }
        largest = largest.max(scratch(&family.kernel_at(step, &mut |d| value(d, &extents))));
    }
    Ok(largest)
}

fn value(d: &Dim, extents: &Extents) -> i64 {
    d.eval(&|name| extents.get(name).copied()).unwrap_or(0)
}

fn too_many(family: &Family, step: usize) -> Invalid {
    let origin = family.template.steps.get(step).map(|s| s.origin.join(" + ")).unwrap_or_default();
    Invalid::new(format!("the scratch of {origin} depends on too many extents"))
}
