//! A map as a session of free extents places it, for the tests of maps.

use super::*;
use crate::copy::Strided;

/// The map placed at the extents of these views, axis by axis, as a session of free extents does it.
pub(super) fn placed(map: &Map, out: &Strided, views: &[View]) -> Map {
    let (dims, mut placed) = (out.dims(), map.clone());
    assert!(dims.len() <= 4);
    let axis = |a: usize| (a + dims.len()).checked_sub(4);
    let walk = |v: &Strided| core::array::from_fn(|a| axis(a).map_or(5, |a| v.strides()[a]));
    let padded = |v: &Strided| core::array::from_fn(|a| if a < 4 { walk(v)[a] } else { 0 });
    let operand = |view: &View| {
        let (source, at) = match *view {
            View::Slice(slice, at) => (Source::Slice(slice), at),
            View::Out => (Source::Out, out),
            View::Position(at) => (Source::Position, at),
            View::Indexed { slice, index, index_type, extent, step } => {
                let (index_strides, index_offset) = (padded(index.1), index.1.offset() as usize);
                let (slice, at, index) = (slice.0, slice.1, index.0);
                let source =
                    Source::Indexed { slice, index, index_type, index_strides, index_offset, extent, step };
                (source, at)
            }
        };
        Operand { source, strides: padded(at), offset: at.offset() as usize }
    };
    let operands: Vec<Operand> = views.iter().map(operand).collect();
    let extents: [usize; 4] = core::array::from_fn(|a| axis(a).map_or(1, |a| dims[a]));
    placed.place(extents, walk(out), out.offset() as usize, &operands);
    placed
}
