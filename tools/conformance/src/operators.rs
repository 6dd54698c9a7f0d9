//! The table of operators, as documentation: versions and limits from the compiler's own table, element types from the
//! cases that pass. So it says nothing that was not tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use sofie_infer_compiler::onnx::{self, ValueType};
use sofie_infer_compiler::ops::OPERATORS;

use crate::report::Rows;

const INTRODUCTION: &str = "\
# Operators

What the compiler knows, operator by operator; `conformance` writes this page from the compiler's own table and from the
cases of ONNX's test suite that pass, and a test compares it (`.ci/run conformance`). *Versions* are those of the
operator's domain (for ONNX's own, the opset) that a model may import. *Types* are the element types that passing cases
read or write; where none is named, other tests cover the operator. Types below 16 bits with a `float` in their name,
and `int4`, `uint4`, `int2` and `uint2`, are stored and converted, not computed in.

A model may import several domains and any of these versions. An attribute that a version does not have is an error, as is
an operator that is not listed; a program may also compute operators in functions of its own, see [Operators of your
own](own-operators.md).
";

const OUTSIDE: &str = "
## Out of scope

- **Strings** (`StringConcat`, `StringNormalizer`, `StringSplit`, `RegexFullMatch`, `CategoryMapper`, and the others on
  tensors of strings): a session computes with numbers; prepare text before it.
- **Random numbers** (`RandomNormal`, `RandomUniform`, their `Like` forms, `Bernoulli`, `Multinomial`): make them an input, so
  that a run can be repeated.
- **Maps** (`CastMap`, `DictVectorizer`): the values of a dictionary are a tensor's columns.
- **Images in files** (`ImageDecoder`): decode before the session.
- **`Gradient`**: a session infers. The optimisers' steps (`Adagrad`, `Adam`, `Momentum`) are plain formulas and are there.
- Sequences and optionals whose length is decided at run time.
";

/// The page. An operator's types come from the rows that pass.
pub fn page(rows: &Rows<'_>) -> String {
    let types = types(rows);
    let mut text = String::from(INTRODUCTION);
    let mut domains: Vec<&str> = OPERATORS.iter().map(|o| o.domain).collect();
    domains.sort_unstable();
    domains.dedup();
    for domain in domains {
        let title = if domain.is_empty() { "ai.onnx" } else { domain };
        let _ = writeln!(
            text,
            "\n## {title}\n\n| operator | versions | types | limits |\n| --- | --- | --- | --- |"
        );
        let mut operators: Vec<_> = OPERATORS.iter().filter(|o| o.domain == domain).collect();
        operators.sort_by_key(|o| (o.name, o.since));
        for o in operators {
            let until = if o.until == i64::MAX { "on".to_owned() } else { o.until.to_string() };
            let versions =
                if until == "on" { format!("{} on", o.since) } else { format!("{}–{until}", o.since) };
            let types = types.get(&(o.domain.to_owned(), o.name.to_owned()));
            let types = types.map(|t| t.iter().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
            let _ = writeln!(text, "| `{}` | {versions} | {types} | {} |", o.name, o.limit);
        }
    }
    text.push_str(OUTSIDE);
    text
}

/// The element types that each operator reads or writes in cases that pass.
fn types(rows: &Rows<'_>) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut all: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (case, _) in rows.iter().filter(|(_, verdict)| verdict.passes()) {
        let Ok(model) = onnx::load(&case.folder.join("model.onnx")) else { continue };
        let graph = &model.graph;
        let element = |ty: &ValueType| match ty {
            ValueType::Tensor(t) => t.element.map(|e| e.to_string()),
            _ => None,
        };
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        let ports = graph.inputs.iter().chain(&graph.outputs).map(|v| (&*v.name, &v.ty));
        let inside = graph.value_info.iter().map(|(name, ty)| (&**name, ty));
        known.extend(ports.chain(inside).filter_map(|(name, ty)| Some((name, element(ty)?))));
        for node in &graph.nodes {
            let names = node.inputs.iter().take(1).chain(&node.outputs).flatten();
            let types = names.filter_map(|name| known.get(&**name).cloned());
            all.entry((node.domain.clone(), node.op_type.clone())).or_default().extend(types);
        }
    }
    all
}

/// Writes the page.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, rows: &Rows<'_>) -> Result<(), String> {
    std::fs::write(path, page(rows)).map_err(|e| format!("{}: {e}", path.display()))
}
