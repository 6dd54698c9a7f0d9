//! Offsets in the arena: the runtime's layout, which sessions use too whose capacity is known at run time alone.

pub use sofie_infer_runtime::layout::{ALIGN, Live, lower_bound, place};

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(a: &Live, b: &Live) -> bool {
        a.first <= b.last && b.first <= a.last
    }

    fn overlap(buffers: &[Live], offsets: &[usize]) -> bool {
        let ends = |i: usize| offsets[i] + buffers[i].bytes;
        (0..buffers.len()).any(|i| {
            (0..i).any(|j| meets(&buffers[i], &buffers[j]) && offsets[i] < ends(j) && offsets[j] < ends(i))
        })
    }

    #[test]
    fn a_chain_needs_two_neighbours() {
        let chain: Vec<Live> =
            (0..10).map(|i| Live { bytes: 64 * (1 + i % 3), first: i, last: i + 1 }).collect();
        let (offsets, size) = place(&chain);
        assert!(!overlap(&chain, &offsets));
        assert_eq!((size, lower_bound(&chain)), (5 * 64, 5 * 64));
    }

    #[test]
    fn random_lives_never_overlap_and_stay_near_the_bound() {
        arbtest::arbtest(|u| {
            let n = u.int_in_range(0..=40)?;
            let mut buffers = Vec::new();
            for _ in 0..n {
                let first = u.int_in_range(0..=30)?;
                let last = first + u.int_in_range(0..=6)?;
                buffers.push(Live { bytes: 64 * u.int_in_range(0..=50)?, first, last });
            }
            let (offsets, size) = place(&buffers);
            assert!(!overlap(&buffers, &offsets));
            let bound = lower_bound(&buffers);
            assert!(size >= bound && size <= bound + bound / 2, "{size} bytes, bound {bound}: {buffers:?}");
            Ok(())
        });
    }
}
