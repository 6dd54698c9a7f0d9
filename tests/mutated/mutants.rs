//! Damaged files from whole ones: bits, cuts, ranges moved, and numbers, binary or in text, made extreme.

/// A pseudorandom sequence (SplitMix64, Steele et al. 2014): the same seed gives the same mutant on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if there is none.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A range of at most `most` that lies below `n`.
    fn range(&mut self, n: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(n);
        start..(start + self.below(most + 1)).min(n)
    }
}

const EXTREME: [u64; 14] = [
    0,
    1,
    2,
    7,
    255,
    256,
    0xffff,
    1 << 31,
    0xffff_ffff,
    1 << 40,
    (1 << 61) - 1,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

/// One mutant of a file, the `seed`-th.
pub fn mutant(file: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut out = file.to_vec();
    for _ in 0..=rng.below(3) {
        let n = out.len();
        match rng.below(8) {
            _ if n == 0 => break,
            0 => out[rng.below(n)] ^= 1 << rng.below(8),
            1 => out.truncate(rng.below(n)),
            2 => drop(out.drain(rng.range(n, 64))),
            3 => {
                let (from, to) = (rng.range(n, 64), rng.below(n));
                out.splice(to..to, file.get(from).unwrap_or_default().to_vec());
            }
            4 | 5 => {
                let (at, width) = (rng.below(n), 1 << rng.below(4));
                let extreme = EXTREME[rng.below(EXTREME.len())].to_le_bytes();
                out.iter_mut().skip(at).zip(&extreme[..width]).for_each(|(byte, new)| *byte = *new);
            }
            // The next number in text from somewhere on.
            _ => {
                let at = rng.below(n);
                let Some(start) = out[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else {
                    continue;
                };
                let digits = out[start..].iter().take_while(|b| b.is_ascii_digit()).count();
                let number = EXTREME[rng.below(EXTREME.len())].to_string();
                out.splice(start..start + digits, number.into_bytes());
            }
        }
    }
    out
}
