//! Numbers as people read them.

/// `512 B`, `26.0 kB`, `1.5 MB`; a kB is 1024 bytes, as in the generated modules.
pub fn bytes(n: u64) -> String {
    match n {
        0..=1023 => format!("{n} B"),
        1024..=1_048_575 => format!("{:.1} kB", n as f64 / 1024.0),
        _ => format!("{:.1} MB", n as f64 / 1_048_576.0),
    }
}

/// `0`, `512`, `4.10 k`, `12.3 M`, `4.10 G`: powers of 1000.
pub fn count(n: u64) -> String {
    let (unit, scale) = match n {
        0..=999 => return n.to_string(),
        1_000..=999_999 => ("k", 1e3),
        1_000_000..=999_999_999 => ("M", 1e6),
        _ => ("G", 1e9),
    };
    let x = n as f64 / scale;
    match x {
        _ if x < 10.0 => format!("{x:.2} {unit}"),
        _ if x < 100.0 => format!("{x:.1} {unit}"),
        _ => format!("{x:.0} {unit}"),
    }
}

/// `1 step`, `3 steps`.
pub fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 1023, 1024, 3 << 19].map(bytes), ["0 B", "1023 B", "1.0 kB", "1.5 MB"]);
        assert_eq!(
            [7, 4_100, 12_340, 512_000, 1_500_000_000].map(count),
            ["7", "4.10 k", "12.3 k", "512 k", "1.50 G"]
        );
        assert_eq!([plural(1, "step"), plural(0, "step")], ["1 step", "0 steps"]);
    }
}
