//! Broken models from whole ones: bits flipped, files cut, and protobuf fields swapped, repeated,
//! dropped or given extreme values with all lengths around them mended, so that the damage gets past
//! the decoder. The same seed gives the same mutants on every machine.

/// A pseudorandom sequence (SplitMix64, Steele et al. 2014).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if there is none.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of `list`, which has one.
    pub fn one_of<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }
}

/// A field of a protobuf message, with the bytes of its value or, where these parse, its fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Varint(u64, u64),
    Fixed(u64, Vec<u8>),
    Bytes(u64, Vec<u8>),
    Message(u64, Vec<Field>),
}

/// Numbers that programs get wrong.
const EXTREME: &[u64] = &[
    0,
    1,
    2,
    3,
    7,
    8,
    127,
    128,
    255,
    1 << 16,
    1 << 20,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    1 << 40,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
    u64::MAX - 1,
];

/// The fields of a message; `None` where the bytes are no message.
pub fn fields(bytes: &[u8]) -> Option<Vec<Field>> {
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let number = key >> 3;
        if number == 0 || number > 100 {
            return None;
        }
        out.push(match key & 7 {
            0 => Field::Varint(number, varint(&mut rest)?),
            1 => Field::Fixed(number, take(&mut rest, 8)?.to_vec()),
            5 => Field::Fixed(number, take(&mut rest, 4)?.to_vec()),
            2 => {
                let length = varint(&mut rest)?;
                let inner = take(&mut rest, usize::try_from(length).ok()?)?;
                match fields(inner).filter(|f| !f.is_empty()) {
                    Some(fields) => Field::Message(number, fields),
                    None => Field::Bytes(number, inner.to_vec()),
                }
            }
            _ => return None,
        });
    }
    Some(out)
}

fn take<'b>(rest: &mut &'b [u8], n: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(n)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..10 {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes of a message.
pub fn encode(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        let mut delimited = |number: u64, bytes: &[u8]| {
            put(number << 3 | 2, &mut out);
            put(bytes.len() as u64, &mut out);
            out.extend_from_slice(bytes);
        };
        match field {
            Field::Bytes(number, bytes) => delimited(*number, bytes),
            Field::Message(number, fields) => delimited(*number, &encode(fields)),
            Field::Varint(number, value) => {
                put(number << 3, &mut out);
                put(*value, &mut out);
            }
            Field::Fixed(number, bytes) => {
                put(number << 3 | if bytes.len() == 8 { 1 } else { 5 }, &mut out);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

/// One mutant of a file.
pub fn mutant(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    match rng.below(10) {
        0 => {
            for _ in 0..=rng.below(8) {
                let (at, bit) = (rng.below(out.len()), rng.below(8));
                out[at] ^= 1 << bit;
            }
        }
        1 => out.truncate(rng.below(bytes.len())),
        2 => {
            let (at, value) = (rng.below(out.len()), rng.next() as u8);
            out[at] = value;
        }
        3 => {
            let (from, n) = (rng.below(out.len()), rng.below(64));
            let cut: Vec<u8> = out[from..].iter().take(n).copied().collect();
            let to = rng.below(out.len());
            out.splice(to..to, cut);
        }
        _ => {
            let mut message = fields(bytes).expect("the whole model parses");
            for _ in 0..=rng.below(3) {
                let total = count(&message);
                damage(&mut message, &mut rng.below(total), rng);
            }
            out = encode(&message);
        }
    }
    out
}

fn count(fields: &[Field]) -> usize {
    fields.iter().map(|f| 1 + if let Field::Message(_, inner) = f { count(inner) } else { 0 }).sum()
}

/// Damages the `at`-th field in depth-first order; says whether it got there.
fn damage(fields: &mut Vec<Field>, at: &mut usize, rng: &mut Rng) -> bool {
    for i in 0..fields.len() {
        if *at == 0 {
            damage_field(fields, i, rng);
            return true;
        }
        *at -= 1;
        if let Field::Message(_, inner) = &mut fields[i]
            && damage(inner, at, rng)
        {
            return true;
        }
    }
    false
}

fn damage_field(fields: &mut Vec<Field>, i: usize, rng: &mut Rng) {
    let other = rng.below(fields.len());
    match rng.below(6) {
        0 => fields.swap(i, other),
        1 => fields.insert(other, fields[i].clone()),
        2 => drop(fields.remove(i)),
        3 => fields[other] = fields[i].clone(),
        4 => {
            let number = 1 + rng.below(26) as u64;
            match &mut fields[i] {
                Field::Varint(n, _) | Field::Fixed(n, _) | Field::Bytes(n, _) | Field::Message(n, _) => {
                    *n = number
                }
            }
        }
        _ => match &mut fields[i] {
            Field::Varint(_, value) => *value = *rng.one_of(EXTREME),
            Field::Fixed(_, bytes) | Field::Bytes(_, bytes) => match rng.below(4) {
                0 => bytes.clear(),
                1 => bytes.push(rng.next() as u8),
                2 => bytes.truncate(rng.below(bytes.len())),
                _ => bytes.fill(rng.next() as u8),
            },
            Field::Message(_, inner) => inner.clear(),
        },
    }
}

/// Calls `check` with `n` mutants of the files in turn; the number of a mutant makes it again.
pub fn each_mutant(files: &[Vec<u8>], n: usize, mut check: impl FnMut(usize, Vec<u8>)) {
    for i in 0..n {
        check(i, mutant(&files[i % files.len()], &mut Rng::new(i as u64)));
    }
}
