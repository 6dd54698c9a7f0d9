//! The two pictures: the file's nodes, and the nodes that the passes left. A node of the second knows which of the first
//! it came from; one of the first that no other came from became a constant, or nothing.

use std::collections::{BTreeSet, HashMap};

use sofie_infer_compiler::ir::{self, Op};
use sofie_infer_compiler::onnx;

use super::picture::{Picture, Vertex};

/// Which of the file's nodes a node of the compiled graph stands for, by their numbers.
pub struct Origins {
    /// By the names that the compiler's graphs give them.
    numbers: HashMap<String, Vec<usize>>,
    /// Nodes that the passes took into others without a note, by the nodes that they are part of now.
    absorbed: HashMap<usize, BTreeSet<usize>>,
    /// All that are part of something that runs.
    live: BTreeSet<usize>,
}

impl Origins {
    /// Of a graph's own nodes; those of subgraphs come under the name that they were lowered with.
    pub fn of(graph: &onnx::Graph, after: &ir::Graph) -> Origins {
        let mut numbers: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            numbers.entry(node.origin()).or_default().push(i);
        }
        let mut origins = Origins { numbers, absorbed: HashMap::new(), live: BTreeSet::new() };
        let named: BTreeSet<usize> = computing(after).flat_map(|n| origins.keys(n)).collect();
        origins.absorbed = absorbed(graph, &named);
        origins.live = computing(after).flat_map(|n| origins.keys(n)).collect();
        origins
    }

    fn keys(&self, node: &ir::Node) -> Vec<usize> {
        let named = node.origin.iter().filter_map(|o| self.numbers.get(&**o)).flatten().copied();
        let mut all: BTreeSet<usize> = named.collect();
        let more: Vec<usize> = all.iter().filter_map(|i| self.absorbed.get(i)).flatten().copied().collect();
        all.extend(more);
        all.into_iter().collect()
    }
}

/// A pattern (a GELU that is spelled out, say) is remembered by its last node alone. The others of it depend on an input
/// and are nowhere named: each belongs to the named nodes that read what it computes, over others of its kind.
fn absorbed(graph: &onnx::Graph, named: &BTreeSet<usize>) -> HashMap<usize, BTreeSet<usize>> {
    let mut varies: BTreeSet<&str> = graph.inputs.iter().map(|i| &*i.name).collect();
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut unnamed = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().flatten().for_each(|name| readers.entry(name).or_default().push(i));
        // Shapes are constants, whatever they are of.
        let shape = matches!(node.op_type.as_str(), "Shape" | "Size");
        if !shape && node.inputs.iter().flatten().any(|name| varies.contains(&**name)) {
            varies.extend(node.outputs.iter().flatten().map(|name| &**name));
            if !named.contains(&i) {
                unnamed.push(i);
            }
        }
    }
    let mut heirs: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    let mut all: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    for i in unnamed.into_iter().rev() {
        let outputs = graph.nodes[i].outputs.iter().flatten();
        let next = outputs.filter_map(|name| readers.get(&**name)).flatten();
        let of: BTreeSet<usize> = next
            .flat_map(|r| {
                if named.contains(r) {
                    vec![*r]
                } else {
                    heirs.get(r).into_iter().flatten().copied().collect()
                }
            })
            .collect();
        of.iter().for_each(|heir| {
            all.entry(*heir).or_default().insert(i);
        });
        heirs.insert(i, of);
    }
    all
}

/// The graph as it is in the file.
pub fn before(graph: &onnx::Graph, origins: &Origins) -> Picture {
    let mut picture = Picture::default();
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for input in &graph.inputs {
        let vertex = Vertex {
            title: input.name.to_string(),
            subtitle: input.ty.to_string(),
            class: "port",
            ..Vertex::default()
        };
        producers.insert(&input.name, picture.add(vertex));
    }
    // Constants would hide the rest: there are as many of them as there are nodes that compute.
    for (i, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.op_type != "Constant") {
        let gone = !origins.live.contains(&i);
        let what = if gone { "\nnothing of it is left at run time" } else { "" };
        let number = picture.add(Vertex {
            title: node.op_type.clone(),
            subtitle: if node.name.is_empty() { format!("#{}", node.index) } else { node.name.clone() },
            tip: format!("{}{what}", node.place()),
            class: if gone { "gone" } else { class_of(&node.op_type) },
            keys: vec![i],
        });
        for name in node.inputs.iter().flatten().chain(&captured(node)) {
            if let Some(&from) = producers.get(&**name) {
                picture.connect(from, number, name);
            }
        }
        producers.extend(node.outputs.iter().flatten().map(|name| (&**name, number)));
    }
    for output in &graph.outputs {
        let vertex = Vertex {
            title: output.name.to_string(),
            subtitle: output.ty.to_string(),
            class: "port",
            ..Vertex::default()
        };
        let number = picture.add(vertex);
        if let Some(&from) = producers.get(&*output.name) {
            picture.connect(from, number, &output.name);
        }
    }
    picture
}

/// Names that a node's graphs read from around it.
fn captured(node: &onnx::Node) -> Vec<onnx::TensorName> {
    let mut names = Vec::new();
    let mut open: Vec<&onnx::Graph> = node.attributes.values().flat_map(|a| a.graphs()).collect();
    while let Some(graph) = open.pop() {
        for inner in &graph.nodes {
            names.extend(inner.inputs.iter().flatten().cloned());
            open.extend(inner.attributes.values().flat_map(|a| a.graphs()));
        }
        names.extend(graph.outputs.iter().map(|o| o.name.clone()));
    }
    names
}

/// The graph that the passes left, constants left out.
pub fn after(graph: &ir::Graph, origins: &Origins) -> Picture {
    let mut picture = Picture::default();
    let mut producers: HashMap<ir::ValueId, usize> = HashMap::new();
    let shown = |v: ir::ValueId| format!("{}{}", graph.dtype(v), graph.shape(v));
    for input in graph.inputs() {
        let subtitle = shown(input.value);
        let vertex = Vertex { title: input.name.clone(), subtitle, class: "port", ..Vertex::default() };
        producers.insert(input.value, picture.add(vertex));
    }
    for node in computing(graph) {
        let number = picture.add(Vertex {
            title: title(&node.op),
            subtitle: origin(node),
            tip: tip(graph, node),
            class: if node.op.is_view() { "view" } else { class_of(node.op.name()) },
            keys: origins.keys(node),
        });
        for v in &node.inputs {
            if let Some(&from) = producers.get(v) {
                picture.connect(from, number, &shown(*v));
            }
        }
        producers.extend(node.outputs.iter().map(|v| (*v, number)));
    }
    for output in graph.outputs() {
        let own = !output.name.starts_with('\0');
        let title = if own { output.name.clone() } else { "(found at run time)".to_owned() };
        let vertex = Vertex { title, subtitle: shown(output.value), class: "port", ..Vertex::default() };
        let number = picture.add(vertex);
        if let Some(&from) = producers.get(&output.value) {
            picture.connect(from, number, &shown(output.value));
        }
    }
    picture
}

fn computing(graph: &ir::Graph) -> impl Iterator<Item = &ir::Node> {
    graph.nodes().iter().filter(|n| !matches!(n.op, Op::Const(_)))
}

/// The operation and what is short of its details: `matmul +bias Relu`, `reduce Mean`.
fn title(op: &Op) -> String {
    let text = match op {
        Op::Conv(_, epilogue) | Op::ConvTranspose(_, epilogue) => format!("{}{epilogue}", op.name()),
        Op::Pool(pool) => format!("{} {:?}", op.name(), pool.kind),
        Op::Attention(_) | Op::Recurrent(_) => op.name().to_owned(),
        _ => op.to_string(),
    };
    let head = text.split(['{', '(', '[']).next().unwrap_or_default();
    let words = head.split_whitespace().filter(|word| !word.ends_with('='));
    words.collect::<Vec<_>>().join(" ")
}

/// The first ONNX node, and how many more there are.
fn origin(node: &ir::Node) -> String {
    match &node.origin[..] {
        [] => String::new(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

fn tip(graph: &ir::Graph, node: &ir::Node) -> String {
    let results = node.outputs.iter().map(|v| format!("{}{}", graph.dtype(*v), graph.shape(*v)));
    let mut text = format!("{}\n→ {}", node.op, results.collect::<Vec<_>>().join(", "));
    if !node.origin.is_empty() {
        text += &format!("\n\nfrom\n  {}", node.origin.join("\n  "));
    }
    text
}

/// The colour of an operator, a core operation or a kernel, by what it does.
pub fn class_of(name: &str) -> &'static str {
    const PRODUCTS: &[&str] =
        &["conv", "gemm", "matmul", "attention", "recurrent", "lstm", "gru", "rnn", "einsum", "qlinear"];
    const ROWS: &[&str] =
        &["reduce", "pool", "rows", "norm", "softmax", "arg", "top", "cum", "scan", "mean", "sum"];
    const MOVES: &[&str] = &[
        "reshape",
        "transpose",
        "slice",
        "concat",
        "gather",
        "scatter",
        "pad",
        "split",
        "expand",
        "squeeze",
        "flatten",
        "tile",
        "copy",
        "broadcast",
        "identity",
        "interpolate",
        "resize",
        "cast",
        "shape",
        "depthtospace",
        "spacetodepth",
        "pack",
    ];
    let name = name.to_lowercase();
    let among = |list: &[&str]| list.iter().any(|part| name.contains(part));
    match () {
        () if among(PRODUCTS) => "product",
        () if among(ROWS) => "row",
        () if among(MOVES) => "move",
        () => "map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_say_what_a_node_does() {
        let of = ["MatMul", "matmul", "Gemm", "TopK", "top_k", "Relu", "Map", "Slice", "RowsInPlace"]
            .map(class_of);
        assert_eq!(of, ["product", "product", "product", "row", "row", "map", "map", "move", "row"]);
    }

    #[test]
    fn every_node_that_depends_on_an_input_is_part_of_something() -> Result<(), Box<dyn std::error::Error>> {
        for name in ["torch_tfenc", "particlenet_lite_k7_p100", "tcn_1d"] {
            let path = format!("{}/../../assets/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
            let model = onnx::load(path.as_ref())?;
            let compiled = sofie_infer_compiler::compile_model(&model, path.as_ref(), &Default::default())?;
            let origins = Origins::of(&model.graph, &compiled.graph);
            for (i, node) in model.graph.nodes.iter().enumerate() {
                let computes =
                    ["MatMul", "Gemm", "Erf", "Softmax", "Relu", "Conv", "LayerNormalization", "Tanh"];
                assert!(
                    origins.live.contains(&i) || !computes.contains(&&*node.op_type),
                    "{name}: {}",
                    node.place()
                );
            }
        }
        Ok(())
    }
}
