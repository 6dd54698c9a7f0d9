//! Weights in the form that kernels read: one aligned literal in the program's read-only memory.

use super::Span;
use crate::Element;

#[cfg(not(target_endian = "little"))]
compile_error!("sofie-infer packs weights as little-endian bytes; this target is big-endian");

/// A literal of `N` bytes, 64-byte aligned.
#[repr(C, align(64))]
pub struct Packed<const N: usize>(pub [u8; N]);

impl<const N: usize> Packed<N> {
    /// A view that does not name the size.
    pub const fn weights(&'static self) -> Weights {
        Weights { bytes: &self.0 }
    }
}

/// The packed weights of one model.
#[derive(Clone, Copy)]
pub struct Weights {
    bytes: &'static [u8],
}

impl Weights {
    /// The elements of one span.
    ///
    /// # Panics
    /// When the span reaches outside.
    #[inline]
    pub const fn get<T: Element>(self, span: Span<T>) -> &'static [T] {
        assert!(span.end() <= self.bytes.len(), "a span ends outside the weights");
        // SAFETY: inside the literal (checked), which is 64-byte aligned (only `Packed` makes this), as the
        // span's offset is to the element; every bit pattern is a value of `T` (`Span` refuses bool).
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().add(span.offset()).cast(), span.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PACKED: Packed<12> = Packed([0, 0, 128, 63, 0, 0, 0, 64, 255, 255, 255, 255]);

    #[test]
    fn bytes_are_little_endian_elements() {
        const W: Weights = PACKED.weights();
        assert_eq!(W.get(Span::<f32>::new(0, 2)), [1.0, 2.0]);
        assert_eq!(W.get(Span::<i32>::new(8, 1)), [-1]);
    }

    #[test]
    #[should_panic(expected = "outside the weights")]
    fn a_span_outside_is_refused() {
        PACKED.weights().get(Span::<i64>::new(8, 1));
    }
}
