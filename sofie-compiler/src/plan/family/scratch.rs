//! How much scratch a kernel needs at the most. Kernels choose blocks by their extents, so what they need is no
//! polynomial and need not grow with the extents: what decides it is walked through.

use super::Family;
use crate::ir::{Dim, Extents, Invalid};
use crate::plan::Kernel;

/// Extents that are walked through for one kernel.
const WALK: usize = 1 << 16;

/// Elements of scratch that each step needs at the most; 0 where it takes none.
pub fn limits(family: &Family) -> Result<Vec<usize>, Invalid> {
    (0..family.template.steps.len()).map(|step| limit(family, step)).collect()
}

fn scratch(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::BatchedGemm(k) => k.scratch(),
        Kernel::Conv(k) => k.scratch(),
        Kernel::ConvPool(k) => k.scratch(),
        Kernel::Separable(k) => k.scratch(),
        Kernel::ConvTranspose(k) => k.scratch(),
        Kernel::Recurrent(k) => k.scratch(),
        Kernel::Attention(k) => k.scratch(),
        _ => 0,
    }
}

/// The steps that have no buffer for scratch and need some: within `limits`, or where sessions bound extents far beyond those
/// that were planned at.
pub fn missing(family: &Family, limits: &[usize]) -> Vec<usize> {
    const FAR: i64 = 4096;
    let mut extents = family.corner(true);
    extents.iter_mut().filter(|(name, _)| family.open.contains(name)).for_each(|(_, n)| *n = FAR.max(*n));
    let needs = |step: &usize| {
        if !family.template.steps[*step].kernel.takes_scratch() {
            return false;
        }
        let (most, least) = (
            family.kernel_at(*step, &mut |d| value(d, &extents)),
            family.kernel_at(*step, &mut |d| d.whole_range().0),
        );
        let far = || !family.open.is_empty() && within(&most, &least).is_some_and(|n| n > 0);
        super::scratch_of(&family.template.steps[*step]).is_none() && (limits[*step] > 0 || far())
    };
    (0..family.template.steps.len()).filter(needs).collect()
}

/// Scratch for all extents between, where the kernel can say it.
fn within(most: &Kernel, least: &Kernel) -> Option<usize> {
    match (most, least) {
        (Kernel::Attention(k), Kernel::Attention(l)) => Some(k.scratch_within(l)),
        (Kernel::BatchedGemm(k), Kernel::BatchedGemm(l)) => Some(k.scratch_within(l)),
        (Kernel::Recurrent(k), Kernel::Recurrent(l)) => Some(k.scratch_within(l)),
        (Kernel::Conv(k), Kernel::Conv(l)) => k.scratch_within(l),
        (Kernel::ConvPool(k), Kernel::ConvPool(l)) => k.scratch_within(l),
        (Kernel::Separable(k), Kernel::Separable(l)) => k.scratch_within(l),
        (Kernel::ConvTranspose(k), Kernel::ConvTranspose(l)) => k.scratch_within(l),
        _ => None,
    }
}

/// Whether that is quick to find out.
fn is_few(most: &Kernel, least: &Kernel) -> bool {
    let walked = match (most, least) {
        (Kernel::BatchedGemm(k), Kernel::BatchedGemm(l)) => k.k.abs_diff(l.k),
        (Kernel::Recurrent(k), Kernel::Recurrent(l)) => k.batch.abs_diff(l.batch),
        _ => 0,
    };
    walked <= WALK
}

fn limit(family: &Family, step: usize) -> Result<usize, Invalid> {
    if !family.template.steps[step].kernel.takes_scratch() {
        return Ok(0);
    }
    let most = family.kernel_at(step, &mut |d| family.most(d));
    let least = family.kernel_at(step, &mut |d| d.whole_range().0);
    if most == least {
        return Ok(scratch(&most));
    }
    if !is_few(&most, &least) {
        return Err(too_many(family, step));
    }
    within(&most, &least).map_or_else(|| walk(family, step), Ok)
}

/// Convolutions: the spatial extents are walked through; the batch does not matter.
fn walk(family: &Family, step: usize) -> Result<usize, Invalid> {
    if !family.open.is_empty() {
        let origin = origin(family, step);
        return Err(Invalid::new(format!("the scratch of {origin} depends on an extent that has no bound")));
    }
    let mut names = Vec::new();
    let windows = |kernel: &Kernel| match kernel {
        Kernel::Conv(k) => Some((k.window, k.ldx, k.ldy)),
        Kernel::ConvPool(k) => Some((k.conv.window, k.conv.ldx, k.pool.ldy)),
        Kernel::Separable(k) => k.before.as_ref().map(|c| (c.window, c.ldx, k.depthwise.window.y[2])),
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
    if count > WALK as i64 {
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

fn origin(family: &Family, step: usize) -> String {
    family.template.steps.get(step).map(|s| s.origin.join(" + ")).unwrap_or_default()
}

fn too_many(family: &Family, step: usize) -> Invalid {
    Invalid::new(format!("the scratch of {} depends on too many extents", origin(family, step)))
}
