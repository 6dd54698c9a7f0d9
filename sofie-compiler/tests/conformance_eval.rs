//! ONNX's own backend test suite through the reference evaluator. `SOFIE_SUITE` names a folder of cases,
//! each `KIND/NAME/model.onnx` with `test_data_set_K/{input,output}_I.pb` and, where the tolerance is not
//! the suite's, `data.json`. A case may pass or be refused with a reason; it may not give another answer.
//! The suite gives axes, shapes and the like at run time, where real files have constants: a case that is
//! refused for that is tried again with its integer inputs made constants.
//! `SOFIE_SUITE_MATCH` picks the cases whose name contains it; `SOFIE_SUITE_LIST=1` prints every refusal.

use sofie_infer_compiler::{ir, onnx, ops};
use sofie_infer_runtime::DType;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Cases whose expected numbers contradict the operator's text. Both divide by the length of the result
/// before it is rounded down, where the text, ONNX Runtime and PyTorch have the length itself.
const WRONG_IN_THE_SUITE: &[&str] = &[
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
];

enum Verdict {
    Pass,
    Unsupported(String),
    Fail(String),
}

#[test]
fn no_case_gives_a_wrong_answer() {
    let Some(suite) = std::env::var_os("SOFIE_SUITE") else {
        return println!("SOFIE_SUITE is not set: skipped");
    };
    let only = std::env::var("SOFIE_SUITE_MATCH").unwrap_or_default();
    let list = std::env::var_os("SOFIE_SUITE_LIST").is_some();
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases(Path::new(&suite)) {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.contains(&only) || WRONG_IN_THE_SUITE.contains(&name.as_str()) {
            continue;
        }
        let (operators, verdict) = check(&case);
        let column = match verdict {
            Verdict::Pass => 0,
            Verdict::Unsupported(why) => {
                if list {
                    println!("{name}: {}", why.replace('\n', " "));
                }
                1
            }
            Verdict::Fail(why) => {
                println!("FAIL {name}: {why}");
                wrong.push(name);
                2
            }
        };
        for operator in operators {
            counts.entry(operator).or_default()[column] += 1;
        }
        counts.entry("(cases)".into()).or_default()[column] += 1;
    }
    for (operator, [pass, unsupported, fail]) in &counts {
        println!("{operator:28} {pass:5} pass {unsupported:5} unsupported {fail:5} fail");
    }
    assert!(wrong.is_empty(), "{} cases fail: {}", wrong.len(), wrong.join(", "));
    assert!(counts.contains_key("(cases)"), "no case was found");
}

fn cases(suite: &Path) -> Vec<PathBuf> {
    let folders = |p: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(p)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.is_dir())
            .collect()
    };
    let mut all: Vec<_> = folders(suite).iter().flat_map(|kind| folders(kind)).collect();
    all.retain(|case| case.join("model.onnx").exists());
    all.sort();
    all
}

fn check(case: &Path) -> (Vec<String>, Verdict) {
    let model = match onnx::load(&case.join("model.onnx")) {
        Ok(model) => model,
        Err(why) => return (Vec::new(), Verdict::Unsupported(why.to_string())),
    };
    let mut operators: Vec<_> = model.graph.nodes.iter().map(|n| n.op_type.clone()).collect();
    operators.sort();
    operators.dedup();
    let mut verdict = run(case, &model);
    if matches!(&verdict, Ok(Verdict::Unsupported(why)) if why.contains("computed at run time")) {
        verdict = baked(case, &model).and_then(|(model, inputs)| run_with(case, &model, inputs));
    }
    (operators, verdict.unwrap_or_else(Verdict::Fail))
}

/// The tensor in a file; `None` where it is of a type that nothing is computed in.
fn tensor(path: &Path) -> Result<Option<ir::Tensor>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let Ok(t) = onnx::parse_tensor(bytes) else { return Ok(None) };
    let Ok(dtype) = t.dtype() else { return Ok(None) };
    let dims = t.dims().iter().map(|&d| d as usize).collect();
    Ok(ir::Tensor::from_bytes(dtype, dims, t.bytes()))
}

/// The model with all inputs but the first constants where they are small; which inputs are left.
fn baked(case: &Path, model: &onnx::Model) -> Result<(onnx::Model, Vec<usize>), String> {
    let mut model = model.clone();
    let mut left = Vec::new();
    for (i, info) in std::mem::take(&mut model.graph.inputs).into_iter().enumerate() {
        let path = case.join(format!("test_data_set_0/input_{i}.pb"));
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        match onnx::parse_tensor(bytes) {
            Ok(tensor)
                if tensor.rank() <= 1
                    && tensor.len() <= 64
                    && (i > 0 || tensor.dtype() == Ok(DType::I64)) =>
            {
                model.graph.initializers.push(onnx::Initializer { name: info.name, tensor });
            }
            _ => {
                model.graph.inputs.push(info);
                left.push(i);
            }
        }
    }
    Ok((model, left))
}

fn run(case: &Path, model: &onnx::Model) -> Result<Verdict, String> {
    run_with(case, model, (0..model.graph.inputs.len()).collect())
}

/// Runs all data sets; input `i` of the model is file `files[i]`.
fn run_with(case: &Path, model: &onnx::Model, files: Vec<usize>) -> Result<Verdict, String> {
    let (rtol, atol) = tolerance(case);
    let refused = |why: String| Ok(Verdict::Unsupported(why));
    let open = match ops::input_shapes(model, &Default::default()) {
        Ok(shapes) => shapes,
        Err(why) => return refused(why.to_string()),
    };
    for set in 0.. {
        let folder = case.join(format!("test_data_set_{set}"));
        if !folder.exists() {
            break;
        }
        let mut dims = ops::DimValues::new();
        let mut inputs = Vec::new();
        for (i, (_, _, shape)) in open.iter().enumerate() {
            let Some(t) = tensor(&folder.join(format!("input_{}.pb", files[i])))? else {
                return refused(format!("input {i} is no tensor of a type that is computed in"));
            };
            for (dim, n) in shape.dims().iter().zip(t.dims()) {
                dims.extend(dim.symbols().iter().map(|s| (s.to_string(), *n as u64)));
            }
            inputs.push(t);
        }
        let graph = match ops::lower(model, &dims) {
            Ok(graph) => graph,
            Err(why) => return refused(why.to_string()),
        };
        ir::verify(&graph).map_err(|e| format!("verifier: {e}"))?;
        let results = match ir::eval::run(&graph, &inputs) {
            Ok(results) => results,
            Err(why) => return Err(format!("evaluator: {why}")),
        };
        for (i, result) in results.iter().enumerate() {
            let Some(want) = tensor(&folder.join(format!("output_{i}.pb")))? else {
                return refused(format!("output {i} is no tensor of a type that is computed in"));
            };
            compare(result, &want, rtol, atol).map_err(|e| format!("output {i}: {e}"))?;
        }
    }
    Ok(Verdict::Pass)
}

/// `numpy.testing.assert_allclose`, with types and shapes equal; bf16 to its own precision.
fn compare(got: &ir::Tensor, want: &ir::Tensor, rtol: f64, atol: f64) -> Result<(), String> {
    if (got.dtype(), got.dims()) != (want.dtype(), want.dims()) {
        return Err(format!("{}{:?}, expected {}{:?}", got.dtype(), got.dims(), want.dtype(), want.dims()));
    }
    // A chain of sixteen-bit operations is exact to two units in the last place at best.
    let rtol = match got.dtype() {
        DType::BF16 => rtol.max(1.0 / 64.0),
        DType::F16 => rtol.max(1.0 / 512.0),
        _ => rtol,
    };
    for (i, (a, b)) in got.to_f64s().into_iter().zip(want.to_f64s()).enumerate() {
        let equal = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= atol + rtol * b.abs();
        if !equal {
            return Err(format!("element {i} is {a}, expected {b}"));
        }
    }
    Ok(())
}

/// The case's relative and absolute tolerance.
fn tolerance(case: &Path) -> (f64, f64) {
    let text = std::fs::read_to_string(case.join("data.json")).unwrap_or_default();
    let number = |key: &str| {
        let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
        rest.split([',', '}']).next()?.trim().parse().ok()
    };
    (number("rtol").unwrap_or(1e-3), number("atol").unwrap_or(1e-7))
}
