//! The compiler's layers: data flows `onnx`, `ir` → `ops`, `passes`, `plan` → `emit`, and no folder looks back.
//!
//! Every path from the crate's root (`crate::x`, `use crate::{x, y}`, `super::super::x`) that leaves a layer's folder
//! must lead to a layer that it may see. Tests may look anywhere: a pass is tested on lowered models.

use super::lex::{line_of, words};
use super::{Finding, Source};

const ROOT: &str = "sofie-compiler/src/";

/// Of each layer, the layers that it may import.
const LAYERS: [(&str, &[&str]); 6] = [
    ("onnx", &[]),
    ("ir", &[]),
    ("ops", &["onnx", "ir"]),
    ("passes", &["ir"]),
    ("plan", &["ir"]),
    ("emit", &["ir", "plan"]),
];

/// What belongs to no layer and to all of them.
const SHARED: [&str; 1] = ["error"];

pub fn check(source: &Source) -> Vec<Finding> {
    let Some(inside) = source.path.strip_prefix(ROOT) else { return Vec::new() };
    let modules = modules(inside);
    let Some((layer, allowed)) = LAYERS.iter().find(|(name, _)| modules.first() == Some(name)) else {
        return Vec::new();
    };
    if source.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (offset, target) in imports(&source.shipped, modules.len()) {
        if target == *layer || allowed.contains(&target) || SHARED.contains(&target) {
            continue;
        }
        let sees = if allowed.is_empty() { "no other layer".to_owned() } else { allowed.join(", ") };
        found.push(Finding::new(
            line_of(&source.shipped, offset),
            format!("`{layer}` imports `crate::{target}`; it may see {sees} and crate::error"),
        ));
    }
    found
}

/// The module path of a file: `ops/conv.rs` and `ops/conv/mod.rs` are `["ops", "conv"]`.
fn modules(inside: &str) -> Vec<&str> {
    let path = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut parts: Vec<_> = path.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

/// Each first name under the crate's root that `code` mentions, with its offset; `depth` is the module's own.
fn imports(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        names(code, at + "crate".len(), &mut found);
    }
    for at in words(code, "super") {
        let mut end = at + "super".len();
        if code[..at].trim_end().ends_with("::") {
            continue;
        }
        let mut supers = 1;
        while let Some(rest) = code[end..].strip_prefix("::super") {
            (supers, end) = (supers + 1, code.len() - rest.len());
        }
        if supers >= depth {
            names(code, end, &mut found);
        }
    }
    found
}

/// The name after `::`, or every first name of a `::{...}` group.
fn names<'a>(code: &'a str, at: usize, found: &mut Vec<(usize, &'a str)>) {
    let Some(rest) = code[at..].trim_start().strip_prefix("::") else { return };
    let start = code.len() - rest.trim_start().len();
    let Some(group) = code[start..].strip_prefix('{') else {
        found.extend(name_at(code, start));
        return;
    };
    let (mut depth, mut fresh) = (0usize, true);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                fresh = false;
                found.extend(name_at(code, start + 1 + i));
            }
            _ => {}
        }
    }
}

fn name_at(code: &str, start: usize) -> Option<(usize, &str)> {
    let rest = &code[start..];
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (end > 0).then(|| (start, &rest[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source::new(path, text);
        check(&source)
            .into_iter()
            .map(|f| (f.line, f.message.split('`').nth(3).unwrap_or_default().to_owned()))
            .collect()
    }

    #[test]
    fn each_layer_sees_what_stands_before_it() {
        assert_eq!(
            targets(
                "sofie-compiler/src/emit/mod.rs",
                "use crate::ir::A;\nuse crate::plan::P;\nuse crate::error::E;"
            ),
            []
        );
        assert_eq!(targets("sofie-compiler/src/ops/conv.rs", "use crate::{ir::{A, B}, onnx::C, error};"), []);
        assert_eq!(targets("sofie-compiler/src/lib.rs", "use crate::emit::X;"), []);
        assert_eq!(targets("sofie-runtime/src/lib.rs", "use crate::emit::X;"), []);
    }

    #[test]
    fn looking_back_is_found_in_each_form() {
        let bad = |text: &str, name: &str| {
            assert_eq!(
                targets("sofie-compiler/src/ir/eval.rs", text),
                [(2, format!("crate::{name}"))],
                "{text}"
            );
        };
        bad("\nuse crate::ops::X;", "ops");
        bad("\nuse crate::{error::E, emit::{A, B}};", "emit");
        bad("\nfn f() -> crate::plan::Plan { g() }", "plan");
        bad("\nuse super::super::onnx::Model;", "onnx");
        bad("\nuse crate::Options;", "Options");
    }

    #[test]
    fn comments_strings_tests_and_siblings_are_free() {
        let text = "//! crate::ops\nuse super::graph::Graph; const A: &str = \"crate::ops\";\n#[cfg(test)]\nmod tests { use crate::ops::X; }";
        assert_eq!(targets("sofie-compiler/src/ir/eval.rs", text), []);
        assert_eq!(targets("sofie-compiler/src/ir/tests.rs", "use crate::ops::X;"), []);
    }
}
