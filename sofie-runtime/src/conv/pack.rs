//! Weights in the form that each algorithm reads. All are panels of 16 columns as in [`crate::gemm`], whose
//! rows are (kernel position, channel); what differs is which columns share a panel.

use alloc::vec;
use alloc::vec::Vec;

use super::{Algo, Conv, depthwise, narrow, planar, winograd};
use crate::gemm;

impl Conv {
    /// Floats of packed weights.
    pub const fn packed_len(&self) -> usize {
        if let Algo::Depthwise = self.algo {
            return depthwise::packed_len(self);
        }
        if let Algo::Narrow = self.algo {
            return narrow::packed_len(self);
        }
        let k = self.window.taps() * (self.c / self.group);
        if let Algo::Planar = self.algo {
            return k * self.m;
        }
        self.group * gemm::packed_len(k, self.m / self.group)
    }

    /// Packs weights `[kernel…, c / group, m]`.
    ///
    /// # Panics
    /// When `w` has another length.
    pub fn pack(&self, w: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; self.packed_len()];
        self.pack_into(&mut packed, w);
        packed
    }

    /// [`Conv::pack`] for weights that are not known before the program runs.
    ///
    /// # Panics
    /// When `w` or `packed` has another length.
    pub fn pack_into(&self, packed: &mut [f32], w: &[f32]) {
        let (k, m) = (self.window.taps() * (self.c / self.group), self.m / self.group);
        assert_eq!(w.len(), k * self.m, "the weights of {self:?}");
        assert_eq!(packed.len(), self.packed_len(), "the packed weights of {self:?}");
        if let Algo::Depthwise = self.algo {
            return depthwise::pack_into(self, packed, w);
        }
        if let Algo::Planar = self.algo {
            return planar::pack_into(self, packed, w);
        }
        if let Algo::Narrow = self.algo {
            return narrow::pack_into(self, packed, w);
        }
        for group in 0..self.group {
            let len = gemm::packed_len(k, m);
            let columns = if k == 0 { w } else { &w[group * m..] };
            gemm::pack_into(&mut packed[group * len..][..len], columns, k, m, self.m, 1);
        }
    }

    /// Floats that [`Conv::prepare`] writes: 0 unless the algorithm wants its weights transformed.
    pub const fn prepared_len(&self) -> usize {
        match self.algo {
            Algo::Winograd(tile) => winograd::prepared_len(self, tile),
            _ => 0,
        }
    }

    /// Transforms packed weights once, before the first run.
    ///
    /// # Panics
    /// When a slice has another length.
    pub fn prepare(&self, w: &[f32], prepared: &mut [f32]) {
        assert_eq!(w.len(), self.packed_len(), "the packed weights of {self:?}");
        assert_eq!(prepared.len(), self.prepared_len(), "the prepared weights of {self:?}");
        if let Algo::Winograd(tile) = self.algo {
            winograd::prepare(self, tile, w, prepared);
        }
    }
}
