//! Names from a model's file as Rust identifiers: snake case, no keywords, no two alike.

use proc_macro2::{Ident, Span};
use std::collections::HashSet;

/// Words that are no identifiers, in this edition and those before it, or that `infer` needs itself.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield", "_",
];

/// The name in snake case with everything else replaced by `_`; not empty, no leading digit, no keyword.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut before = '_';
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
        before = c;
    }
    let mut out = out.trim_end_matches('_').to_owned();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if out == "_" {
        out.push('0');
    }
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

/// Identifiers of one scope, no two alike.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A scope in which some names are taken.
    pub fn reserving(names: &[&str]) -> Names {
        Names { taken: names.iter().map(|&n| n.to_owned()).collect() }
    }

    /// A snake-case identifier for `name`.
    pub fn snake(&mut self, name: &str) -> Ident {
        self.unique(snake(name), "")
    }

    /// An upper-case identifier for `name`.
    pub fn constant(&mut self, name: &str) -> Ident {
        self.unique(snake(name).to_uppercase(), "")
    }

    /// `name` as it is, or with a number behind it.
    pub fn label(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        let mut n = 2;
        while !self.taken.insert(candidate.clone()) {
            candidate = format!("{name}#{n}");
            n += 1;
        }
        candidate
    }

    fn unique(&mut self, name: String, separator: &str) -> Ident {
        let mut candidate = name.clone();
        let mut n = 2;
        while !self.taken.insert(candidate.clone()) {
            let underscore = if name.ends_with(|c: char| c.is_ascii_digit()) { "_" } else { separator };
            candidate = format!("{}{underscore}{n}", name.trim_end_matches('_'));
            n += 1;
        }
        Ident::new(&candidate, Span::call_site())
    }
}

/// The module's name for a model at `path`: the file's stem.
pub fn module_name(path: &str, span: Span) -> Ident {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    Ident::new(&snake(stem), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, ident) in [
            ("serving_default_input_2:0", "serving_default_input_2_0"),
            ("387", "_387"),
            ("x.1", "x_1"),
            ("type", "type_"),
            ("Self", "self_"),
            ("", "_0"),
            ("...", "_0"),
            ("denseOutput", "dense_output"),
            ("StatefulPartitionedCall/model/Add:0", "stateful_partitioned_call_model_add_0"),
            ("ünï", "n"),
            ("HTTP", "http"),
        ] {
            assert_eq!(snake(name), ident, "{name}");
            assert!(syn::parse_str::<Ident>(ident).is_ok(), "{ident}");
        }
    }

    #[test]
    fn no_two_names_are_alike() {
        let mut names = Names::reserving(&["arena"]);
        let all = ["x.1", "x_1", "X/1", "arena", "x", "x"].map(|n| names.snake(n).to_string());
        assert_eq!(all, ["x_1", "x_1_2", "x_1_3", "arena2", "x", "x2"]);
    }

    #[test]
    fn modules_are_named_after_the_file() {
        assert_eq!(module_name("assets/ParticleNet-lite.v2.onnx", Span::call_site()), "particle_net_lite_v2");
    }
}
