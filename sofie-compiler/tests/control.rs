//! Which bodies run as control flow, which are unrolled or selected, and what is left out: on the fixtures that
//! `contrib.rs` runs.

use sofie_infer_compiler::ir::{CHECK, Graph, Op};
use sofie_infer_compiler::{onnx, ops, passes};
use std::path::Path;

fn graph(name: &str, dims: &[(&str, u64)]) -> Graph {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/control").join(name);
    let model = onnx::load(&folder.join("model.onnx")).unwrap();
    let dims = dims.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    passes::optimize(ops::lower(&model, &dims).unwrap(), None).unwrap()
}

/// The names of the nodes, those of bodies behind the node that holds them.
fn names(graph: &Graph) -> Vec<&'static str> {
    let nodes = graph.nodes().iter();
    nodes
        .flat_map(|n| [vec![n.op.name()], n.op.bodies().into_iter().flat_map(names).collect()].concat())
        .collect()
}

fn checked(graph: &Graph) -> bool {
    graph.outputs().iter().any(|o| o.name == CHECK)
}

#[test]
fn dear_branches_are_branches_and_cheap_ones_are_selected() {
    let dear = graph("if_dear_then", &[]);
    assert_eq!(names(&dear).iter().filter(|n| **n == "if").count(), 1, "{dear}");
    // Nothing of either branch is outside.
    assert!(!dear.nodes().iter().any(|n| matches!(n.op, Op::MatMul(_) | Op::Rows(_))), "{dear}");
    let cheap = graph("if_cheap_then", &[]);
    assert!(!names(&cheap).contains(&"if"), "{cheap}");
    assert!(!checked(&dear) && !checked(&cheap));
}

#[test]
fn a_branch_that_does_not_fit_is_left_out_and_checked() {
    for k in [4, 8] {
        let g = graph("if_rates_low", &[("n", 2), ("k", k)]);
        assert!(!names(&g).contains(&"if") && checked(&g), "{g}");
    }
}

#[test]
fn loops_are_loops_where_they_are_long_or_open() {
    for (name, fails) in [
        ("loop_trips_0", true),
        ("loop_while_one", true),
        ("loop_long", false),
        ("loop_if_a", false),
        ("loop_rows_open_all", false),
        ("loop_rows_declared", true),
        ("scan_long", false),
    ] {
        let g = graph(name, &[]);
        assert!(names(&g).contains(&"loop"), "{name}: {g}");
        assert_eq!(checked(&g), fails, "{name}: {g}");
    }
    let nested = graph("loop_nested_1_1", &[]);
    assert_eq!(names(&nested).iter().filter(|n| **n == "loop").count(), 2, "{nested}");
    let unrolled = graph("loop_counted", &[]);
    assert!(!names(&unrolled).contains(&"loop") && !checked(&unrolled), "{unrolled}");
}

#[test]
fn a_loop_that_nothing_bounds_has_a_bound() {
    let g = graph("loop_while_one", &[]);
    let loops: Vec<_> =
        g.nodes().iter().filter_map(|n| if let Op::Loop(l) = &n.op { Some(l) } else { None }).collect();
    assert!(matches!(loops[..], [l] if l.most == 1 << 24 && l.ends && !l.counted), "{g}");
}

#[test]
fn a_body_prints_under_its_node() {
    let text = graph("if_dear_then", &[]).to_string();
    assert!(
        text.contains("  {\n    input ") && text.contains("  } else {\n") && text.contains("\n  }\n"),
        "{text}"
    );
}
