//! What an update does to the element that it meets: replacing by element size, `f32` in vectors, other types
//! through a function pointer (their scatters are rare, and thirteen types times five ways would be code that
//! nobody runs).

use super::Scatter;
use crate::copy::copy_row;
use crate::gather::{Index, Indexed, RawIndex, Row, Visit};
use crate::simd::{self, LANES, Op, Simd};
use crate::{DType, bf16, f16};

/// How an update meets what is there. Integers wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// Replace it.
    Set,
    /// Add; of bools: or.
    Add,
    /// Multiply; of bools: and.
    Mul,
    /// Keep the larger; NaN wins.
    Max,
    /// Keep the smaller; NaN wins.
    Min,
}

/// # Safety
/// The walk of `scatter` must have been checked against the memory of `y`, `updates` (elements of `dtype`) and
/// `index`.
pub(super) unsafe fn run(scatter: &Scatter, dtype: DType, y: *mut u8, updates: *const u8, index: RawIndex) {
    let Scatter { at, combine } = scatter;
    // SAFETY: the caller's promise, elements being of the size or of the type of the pointer.
    unsafe {
        match (combine, dtype, dtype.size()) {
            (Combine::Set, _, 1) => set(at, y, updates, index),
            (Combine::Set, _, 2) => set(at, y.cast::<u16>(), updates.cast(), index),
            (Combine::Set, _, 4) => set(at, y.cast::<u32>(), updates.cast(), index),
            (Combine::Set, ..) => set(at, y.cast::<u64>(), updates.cast(), index),
            (&combine, DType::F32, _) => float(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::F64, _) => plain::<f64>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::F16, _) => plain::<f16>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::BF16, _) => plain::<bf16>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::I8, _) => plain::<i8>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::I16, _) => plain::<i16>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::I32, _) => plain::<i32>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::I64, _) => plain::<i64>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::U8, _) => plain::<u8>(at, y, updates, index, combine),
            (&combine, DType::U16, _) => plain::<u16>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::U32, _) => plain::<u32>(at, y.cast(), updates.cast(), index, combine),
            (&combine, DType::U64, _) => plain::<u64>(at, y.cast(), updates.cast(), index, combine),
            // Bytes 0 and 1: or is the maximum, and the minimum.
            (Combine::Add | Combine::Max, DType::Bool, _) => {
                plain::<u8>(at, y, updates, index, Combine::Max);
            }
            (Combine::Mul | Combine::Min, DType::Bool, _) => {
                plain::<u8>(at, y, updates, index, Combine::Min);
            }
        }
    }
}

/// # Safety
/// As [`run`].
unsafe fn set<E: Copy>(at: &Indexed, y: *mut E, updates: *const E, index: RawIndex) {
    match index {
        RawIndex::I32(index) => simd::dispatch(Set { at, y, updates, index }),
        RawIndex::I64(index) => simd::dispatch(Set { at, y, updates, index }),
    }
}

struct Set<'a, E, I> {
    at: &'a Indexed,
    y: *mut E,
    updates: *const E,
    index: *const I,
}

impl<E: Copy, I: Index> Op for Set<'_, E, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let write = Write { s, y: self.y, updates: self.updates };
        // SAFETY: whoever made `Set` checked the walks.
        unsafe { self.at.walk("scatter", self.index, write) }
    }
}

struct Write<S, E> {
    s: S,
    y: *mut E,
    updates: *const E,
}

impl<S: Simd, E: Copy> Visit for Write<S, E> {
    #[inline(always)]
    unsafe fn row(&mut self, row: Row) {
        let (y, u) = (self.y.wrapping_offset(row.data), self.updates.wrapping_offset(row.walk));
        // SAFETY: every position of the row is inside its slice.
        unsafe {
            if row.walk_step == 1 && row.data_step == 1 {
                copy_row(self.s, y.cast(), u.cast(), row.len * size_of::<E>());
            } else {
                for i in 0..row.len as isize {
                    y.wrapping_offset(i * row.data_step).write(*u.wrapping_offset(i * row.walk_step));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn element(&mut self, walk: isize, data: isize) {
        // SAFETY: both positions are inside their slices.
        unsafe { self.y.wrapping_offset(data).write(*self.updates.wrapping_offset(walk)) }
    }
}

/// # Safety
/// As [`run`].
unsafe fn float(at: &Indexed, y: *mut f32, updates: *const f32, index: RawIndex, combine: Combine) {
    match index {
        RawIndex::I32(index) => simd::dispatch(Float { at, y, updates, index, combine }),
        RawIndex::I64(index) => simd::dispatch(Float { at, y, updates, index, combine }),
    }
}

struct Float<'a, I> {
    at: &'a Indexed,
    y: *mut f32,
    updates: *const f32,
    index: *const I,
    combine: Combine,
}

impl<I: Index> Op for Float<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        macro_rules! walk {
            ($op:ty) => {{
                let meet = Meet { s, y: self.y, updates: self.updates, op: core::marker::PhantomData::<$op> };
                // SAFETY: whoever made `Float` checked the walks.
                unsafe { self.at.walk("scatter", self.index, meet) }
            }};
        }
        match self.combine {
            Combine::Add | Combine::Set => walk!(Add),
            Combine::Mul => walk!(Mul),
            Combine::Max => walk!(Max),
            Combine::Min => walk!(Min),
        }
    }
}

/// Rows of fewer elements go one by one.
const SHORT: usize = 8;

/// A combination in vectors and on one element.
trait Vector {
    fn vector<S: Simd>(s: S, y: S::F32, u: S::F32) -> S::F32;
    fn one(y: f32, u: f32) -> f32;
}

macro_rules! vectors {
    ($($name:ident, $s:ident, $y:ident, $u:ident => $vector:expr, $one:expr;)*) => {$(
        struct $name;
        impl Vector for $name {
            #[inline(always)]
            fn vector<S: Simd>($s: S, $y: S::F32, $u: S::F32) -> S::F32 { $vector }
            #[inline(always)]
            fn one($y: f32, $u: f32) -> f32 { $one }
        }
    )*};
}

vectors! {
    Add, s, y, u => s.add(y, u), y + u;
    Mul, s, y, u => s.mul(y, u), y * u;
    Max, s, y, u => s.max(y, u), if y > u || y.is_nan() { y } else { u };
    Min, s, y, u => s.min(y, u), if y < u || y.is_nan() { y } else { u };
}

struct Meet<S, V> {
    s: S,
    y: *mut f32,
    updates: *const f32,
    op: core::marker::PhantomData<V>,
}

impl<S: Simd, V: Vector> Visit for Meet<S, V> {
    #[inline(always)]
    unsafe fn row(&mut self, row: Row) {
        let s = self.s;
        let (y, u) = (self.y.wrapping_offset(row.data), self.updates.wrapping_offset(row.walk));
        // SAFETY: every position of the row is inside its slice.
        unsafe {
            // A short row that is met again soon would wait for its masked store to reach the cache.
            if row.data_step != 1 || row.walk_step != 1 || row.len < SHORT {
                for i in 0..row.len as isize {
                    let y = y.wrapping_offset(i * row.data_step);
                    *y = V::one(*y, *u.wrapping_offset(i * row.walk_step));
                }
                return;
            }
            let whole = row.len - row.len % LANES;
            for i in (0..whole).step_by(LANES) {
                s.store_ptr(V::vector(s, s.load_ptr(y.add(i)), s.load_ptr(u.add(i))), y.add(i));
            }
            if whole < row.len {
                let (y, u, m) = (y.add(whole), u.add(whole), s.mask_first(row.len - whole));
                let v = V::vector(s, s.load_masked_ptr(y, m, s.zero()), s.load_masked_ptr(u, m, s.zero()));
                s.store_first_ptr(v, y, row.len - whole);
            }
        }
    }

    #[inline(always)]
    unsafe fn element(&mut self, walk: isize, data: isize) {
        let (y, u) = (self.y.wrapping_offset(data), self.updates.wrapping_offset(walk));
        // SAFETY: both positions are inside their slices.
        unsafe { *y = V::one(*y, *u) }
    }
}

/// An element type whose combinations are a function.
trait Plain: Copy {
    fn function(combine: Combine) -> fn(Self, Self) -> Self;
}

macro_rules! integers {
    ($($t:ty)*) => {$(
        impl Plain for $t {
            fn function(combine: Combine) -> fn($t, $t) -> $t {
                match combine {
                    Combine::Set => |_, u| u,
                    Combine::Add => <$t>::wrapping_add,
                    Combine::Mul => <$t>::wrapping_mul,
                    Combine::Max => Ord::max,
                    Combine::Min => Ord::min,
                }
            }
        }
    )*};
}

macro_rules! floats {
    ($($t:ty)*) => {$(
        impl Plain for $t {
            fn function(combine: Combine) -> fn($t, $t) -> $t {
                match combine {
                    Combine::Set => |_, u| u,
                    Combine::Add => |y, u| y + u,
                    Combine::Mul => |y, u| y * u,
                    Combine::Max => |y, u| if y > u || y.is_nan() { y } else { u },
                    Combine::Min => |y, u| if y < u || y.is_nan() { y } else { u },
                }
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 u8 u16 u32 u64);
floats!(f64 f16 bf16);

/// # Safety
/// As [`run`].
unsafe fn plain<T: Plain>(at: &Indexed, y: *mut T, updates: *const T, index: RawIndex, combine: Combine) {
    let call = Call { y, updates, function: T::function(combine) };
    // SAFETY: the caller's promise.
    unsafe {
        match index {
            RawIndex::I32(index) => at.walk("scatter", index, call),
            RawIndex::I64(index) => at.walk("scatter", index, call),
        }
    }
}

struct Call<T> {
    y: *mut T,
    updates: *const T,
    function: fn(T, T) -> T,
}

impl<T: Copy> Visit for Call<T> {
    #[inline(always)]
    unsafe fn row(&mut self, row: Row) {
        for i in 0..row.len as isize {
            // SAFETY: positions of the row.
            unsafe { self.element(row.walk + i * row.walk_step, row.data + i * row.data_step) }
        }
    }

    #[inline(always)]
    unsafe fn element(&mut self, walk: isize, data: isize) {
        let (y, u) = (self.y.wrapping_offset(data), self.updates.wrapping_offset(walk));
        // SAFETY: both positions are inside their slices.
        unsafe { *y = (self.function)(*y, *u) }
    }
}
