//! The plain form: a binary heap of the k best indices so far, worst on top, kept in the result's own memory
//! and sorted in place at the end. n log k, any type, any k.

use super::TopK;
use crate::{bf16, f16};

/// An element as an integer that orders as the elements do: −0 as +0, every NaN as the largest.
pub(super) trait Key: Copy {
    fn key(self) -> u64;
}

macro_rules! keys {
    ($($t:ty, $x:ident => $key:expr;)*) => {$(
        impl Key for $t {
            #[inline(always)]
            fn key(self) -> u64 { let $x = self; $key }
        }
    )*};
}

/// Flips what has to be flipped for the bits of a float to order as unsigned integers.
#[inline(always)]
fn float(x: f64) -> u64 {
    let bits = if x.is_nan() { f64::NAN } else { x + 0.0 }.to_bits() as i64;
    (bits ^ ((bits >> 63) as u64 >> 1) as i64) as u64 ^ 1 << 63
}

keys! {
    f32, x => float(x as f64);
    f64, x => float(x);
    f16, x => float(x.to_f64());
    bf16, x => float(x.to_f64());
    i8, x => x as i64 as u64 ^ 1 << 63;
    i16, x => x as i64 as u64 ^ 1 << 63;
    i32, x => x as i64 as u64 ^ 1 << 63;
    i64, x => x as u64 ^ 1 << 63;
    u8, x => x as u64;
    u16, x => x as u64;
    u32, x => x as u64;
    u64, x => x;
}

/// All rows of a top-k.
/// # Safety
/// [`TopK::check`] must have passed for `x` and, unless it is null, `values`.
pub(super) unsafe fn rows<T: Key>(top: &TopK, values: *mut T, indices: &mut [i64], x: *const T) {
    for (r, indices) in indices.chunks_exact_mut(top.k).take(top.rows).enumerate() {
        // SAFETY: row `r` of `x` and of `values`.
        unsafe {
            let x = core::slice::from_raw_parts(x.add(r * top.ldx), top.n);
            row(x, indices, top.largest);
            if !values.is_null() {
                let values = core::slice::from_raw_parts_mut(values.add(r * top.k), top.k);
                for (v, &i) in values.iter_mut().zip(&*indices) {
                    *v = x[i as usize];
                }
            }
        }
    }
}

/// The best `indices.len()` of `x`, which is at least one and at most `x.len()`.
pub(super) fn row<T: Key>(x: &[T], indices: &mut [i64], largest: bool) {
    let flip = if largest { 0 } else { u64::MAX };
    let heap = Heap { x, flip };
    let k = indices.len();
    for (i, index) in indices.iter_mut().enumerate() {
        *index = i as i64;
    }
    for top in (0..k / 2).rev() {
        heap.sink(indices, top);
    }
    let mut bound = heap.key(indices[0]);
    for i in k..x.len() {
        // An equal element comes later than all in the heap, so it is worse than each of them.
        if heap.key(i as i64) > bound {
            indices[0] = i as i64;
            heap.sink(indices, 0);
            bound = heap.key(indices[0]);
        }
    }
    for end in (1..k).rev() {
        indices.swap(0, end);
        heap.sink(&mut indices[..end], 0);
    }
}

struct Heap<'a, T> {
    x: &'a [T],
    flip: u64,
}

impl<T: Key> Heap<'_, T> {
    #[inline(always)]
    fn key(&self, i: i64) -> u64 {
        self.x[i as usize].key() ^ self.flip
    }

    #[inline(always)]
    fn worse(&self, a: i64, b: i64) -> bool {
        let (p, q) = (self.key(a), self.key(b));
        p < q || (p == q && a > b)
    }

    /// Moves the index at `at` down until both below it are better.
    #[inline(always)]
    fn sink(&self, heap: &mut [i64], mut at: usize) {
        loop {
            let mut child = 2 * at + 1;
            if child >= heap.len() {
                return;
            }
            if child + 1 < heap.len() && self.worse(heap[child + 1], heap[child]) {
                child += 1;
            }
            if !self.worse(heap[child], heap[at]) {
                return;
            }
            heap.swap(at, child);
            at = child;
        }
    }
}
