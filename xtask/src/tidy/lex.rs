//! Rust text with everything blanked that is not code: comments, strings, characters, and on request test items.
//!
//! Line breaks stay, so that an offset's line number is that of the original; quotes stay as well, so that a check can
//! still see that an argument is a literal.

/// The line, from 1, of a byte offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count() + 1
}

/// `text` with comments and the insides of literals replaced by blanks, byte for byte.
pub fn blank(text: &str) -> String {
    let b = text.as_bytes();
    let mut out = b.to_vec();
    let mut i = 0;
    while i < b.len() {
        let end = match b[i] {
            b'/' if b.get(i + 1) == Some(&b'/') => wipe(&mut out, i, line_end(b, i)),
            b'/' if b.get(i + 1) == Some(&b'*') => wipe(&mut out, i, comment_end(b, i)),
            b'"' => inside(&mut out, i + 1, string_end(b, i), 1),
            b'\'' => match char_end(b, i) {
                Some(end) => inside(&mut out, i + 1, end, 1),
                None => i + 1,
            },
            b'r' | b'b' | b'c' if starts_word(b, i) => match raw_string(b, i) {
                Some((start, end, tail)) => inside(&mut out, start, end, tail),
                None => i + 1,
            },
            _ => i + 1,
        };
        i = end;
    }
    String::from_utf8(out).unwrap_or_default()
}

fn wipe(out: &mut [u8], from: usize, to: usize) -> usize {
    for c in &mut out[from..to] {
        if *c != b'\n' {
            *c = b' ';
        }
    }
    to
}

/// Blanks a literal's inside and leaves its closing `tail` bytes.
fn inside(out: &mut [u8], from: usize, end: usize, tail: usize) -> usize {
    wipe(out, from, end.saturating_sub(tail).max(from));
    end
}

fn starts_word(b: &[u8], i: usize) -> bool {
    i == 0 || !(b[i - 1].is_ascii_alphanumeric() || b[i - 1] == b'_')
}

fn line_end(b: &[u8], i: usize) -> usize {
    b[i..].iter().position(|&c| c == b'\n').map_or(b.len(), |n| i + n)
}

/// The end of a block comment; they nest.
fn comment_end(b: &[u8], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0);
    while i + 1 < b.len() {
        match (b[i], b[i + 1]) {
            (b'/', b'*') => (i, depth) = (i + 2, depth + 1),
            (b'*', b'/') => {
                (i, depth) = (i + 2, depth - 1);
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    b.len()
}

fn string_end(b: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < b.len() {
        match b[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    b.len()
}

/// The end of a character literal, or nothing when the quote begins a lifetime.
fn char_end(b: &[u8], start: usize) -> Option<usize> {
    if b.get(start + 1) == Some(&b'\\') {
        let rest = b.get(start + 3..)?;
        return rest.iter().position(|&c| c == b'\'').map(|n| start + n + 4);
    }
    let width = match b.get(start + 1)? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (b.get(start + 1 + width) == Some(&b'\'')).then_some(start + width + 2)
}

/// `r"..."`, `br#"..."#` and the like: start of the inside, end, length of the closing quote and hashes.
fn raw_string(b: &[u8], start: usize) -> Option<(usize, usize, usize)> {
    let mut i = start + usize::from(b[start] != b'r');
    if b.get(i) != Some(&b'r') {
        return None;
    }
    i += 1;
    let hashes = b[i..].iter().take_while(|&&c| c == b'#').count();
    i += hashes;
    if b.get(i) != Some(&b'"') {
        return None;
    }
    let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let end = b[i + 1..]
        .windows(closing.len())
        .position(|w| w == closing)
        .map_or(b.len(), |n| i + 1 + n + closing.len());
    Some((i + 1, end, closing.len()))
}

/// Blanked code without the items under `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(at) = code[from..].find(MARK).map(|n| from + n) {
        let end = item_end(code.as_bytes(), at + MARK.len());
        wipe(&mut out, at, end);
        from = end;
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Blanked code without what stands inside `quote!` and its like: that code is the user's, not ours.
pub fn without_quotes(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for name in ["quote", "quote_spanned", "parse_quote"] {
        for at in words(code, name) {
            let start = at + name.len();
            if code[start..].starts_with('!') {
                wipe(&mut out, start, group_end(code.as_bytes(), start));
            }
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// The end of the first bracketed group from `start` on.
fn group_end(b: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, &c) in b.iter().enumerate().skip(start) {
        match c {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    b.len()
}

/// The end of an item: its `;`, or the brace that closes its body.
fn item_end(b: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, &c) in b.iter().enumerate().skip(start) {
        match c {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == b'}' {
                    return i + 1;
                }
            }
            b';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    b.len()
}

/// Offsets of `word` in `code` where it stands alone, not as a part of a longer name.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let name = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
    code.match_indices(word).map(|(i, _)| i).filter(move |&i| {
        let b = code.as_bytes();
        let before = i.checked_sub(1).and_then(|i| b.get(i));
        !name(before) && !name(b.get(i + word.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_literals_and_keeps_lines() {
        let text = "a /* x /* y */ z\n */ b // c\n\"d \\\" e\" 'f' '\\'' &'g r#\"h \" i\"# br\"j\" for\u{e9} '\u{e9}'";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), text.lines().count());
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "a",
                "b",
                "\"",
                "\"",
                "'",
                "'",
                "'",
                "'",
                "&'g",
                "r#\"",
                "\"#",
                "br\"",
                "\"",
                "for\u{e9}",
                "'",
                "'"
            ]
        );
    }

    #[test]
    fn a_name_that_ends_in_r_is_not_a_raw_string() {
        assert_eq!(blank("for\"x\""), "for\" \"");
        assert_eq!(blank("let r = bar; r"), "let r = bar; r");
    }

    #[test]
    fn unfinished_literals_end_with_the_text() {
        for text in ["\"abc", "/* abc", "r#\"abc", "'", "'\\", "b", "\"\\"] {
            assert_eq!(blank(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn test_items_go_and_the_rest_stays() {
        let code =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { x[1]; }\n}\n#[cfg(test)]\nmod c;\nfn d() {}";
        let left = without_tests(code);
        assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["fn", "a()", "{}", "fn", "d()", "{}"]);
        assert_eq!(line_of(&left, left.find("fn d").unwrap_or(0)), 8);
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("unsafe unsafe_code x_unsafe (unsafe)", "unsafe").collect::<Vec<_>>(), [0, 29]);
    }
}
