//! What may not stand in shipped code: panics in the compiler, and `unsafe` outside the runtime.
//!
//! Whatever the compiler touches came from somebody's file, so its errors are values. An invariant of our own that the
//! types cannot say may panic under an `// INVARIANT:` comment that names it, on the same line or just above.

use super::lex::{line_of, without_quotes, words};
use super::{Finding, Source};

const COMPILER: &str = "sofie-compiler/src/";

/// How a panic is written. `.expect(` alone may be a parser's own method: only with a message is it `Result`'s.
const PANICS: [&str; 8] = [
    ".unwrap()",
    ".expect(\"",
    ".expect(&format!",
    "panic!",
    "unreachable!",
    "todo!",
    "unimplemented!",
    ".unwrap_unchecked()",
];

/// Where `unsafe` may stand: the kernels, what calls the peers' C interfaces to time them, and the example that is one.
const UNSAFE: [&str; 3] = ["sofie-runtime/", "tools/zoo/harness/src/peers/", "examples/embedding/"];

pub fn check(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with(COMPILER) || source.is_test() {
        return Vec::new();
    }
    let shipped = without_quotes(&source.shipped);
    let lines: Vec<_> = source.text.lines().collect();
    let excused = |line: usize| {
        let above = lines[..line - 1].iter().rev().take_while(|l| l.trim_start().starts_with("//"));
        above.chain(lines.get(line - 1)).any(|l| l.contains("// INVARIANT:"))
    };
    let mut found = Vec::new();
    for panic in PANICS {
        let starts_name = panic.starts_with(|c: char| c.is_alphabetic());
        let hits: Vec<_> = if starts_name {
            let name = panic.trim_end_matches('!');
            words(&shipped, name).filter(|&i| shipped[i + name.len()..].starts_with('!')).collect()
        } else {
            shipped.match_indices(panic).map(|(i, _)| i).collect()
        };
        for line in hits.into_iter().map(|i| line_of(&shipped, i)).filter(|&l| !excused(l)) {
            let what = panic.trim_end_matches(['"', '(', '!']);
            found.push(Finding::new(
                line,
                format!("`{what}` in the compiler: return an error, or name the `// INVARIANT:`"),
            ));
        }
    }
    found.sort_by_key(|f| f.line);
    found
}

pub fn check_unsafe(source: &Source) -> Vec<Finding> {
    // Counting allocators and the like: a test may be unsafe where its subject is memory.
    if UNSAFE.iter().any(|p| source.path.starts_with(p)) || source.is_test() {
        return Vec::new();
    }
    let hits = words(&source.code, "unsafe").filter(|&i| !source.code[..i].trim_end().ends_with('('));
    hits.map(|i| {
        Finding::new(
            line_of(&source.code, i),
            "`unsafe` outside sofie-runtime: give the runtime a safe interface",
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text)).into_iter().map(|f| f.line).collect()
    }

    #[test]
    fn every_way_to_panic_is_found() {
        let text = "a.unwrap();\nb.expect(\"x\");\nc.expect(&format!(\"x\"));\npanic!();\nunreachable!(\"x\");\ntodo!();\nunimplemented!();";
        assert_eq!(lines("sofie-compiler/src/ir/a.rs", text), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(lines("sofie-runtime/src/a.rs", text), []);
        assert_eq!(lines("sofie-compiler/src/ir/tests.rs", text), []);
    }

    #[test]
    fn what_only_looks_like_one_is_not() {
        assert_eq!(
            lines(
                "sofie-compiler/src/emit/a.rs",
                "quote_spanned!(s=> { unreachable!() }); quote! { a.unwrap() }"
            ),
            []
        );
        let text = "a.unwrap_or(1); parser.expect(Token::Comma)?; // x.unwrap()\nlet s = \"panic!\"; my_panic!();\n\
            #[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }";
        assert_eq!(lines("sofie-compiler/src/ir/a.rs", text), []);
    }

    #[test]
    fn a_named_invariant_excuses_its_line_alone() {
        let text = "// INVARIANT: made above,\n// never empty.\na.unwrap();\nb.unwrap();\nc.unwrap(); // INVARIANT: len checked";
        assert_eq!(lines("sofie-compiler/src/ir/a.rs", text), [4]);
    }

    #[test]
    fn unsafe_belongs_to_the_runtime() {
        let found = |path: &str, text: &str| check_unsafe(&Source::new(path, text)).len();
        assert_eq!(found("src/lib.rs", "#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";"), 0);
        assert_eq!(found("src/lib.rs", "unsafe { f() }"), 1);
        assert_eq!(found("sofie-compiler/src/emit/a.rs", "quote! { unsafe { f() } }"), 1);
        assert_eq!(found("sofie-runtime/src/arena.rs", "unsafe { f() }"), 0);
        assert_eq!(found("tests/allocations.rs", "unsafe impl GlobalAlloc for A {}"), 0);
    }
}
