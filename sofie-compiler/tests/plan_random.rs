//! Plans of random graphs: proved by the checker, and run in this process against the reference evaluator, as they
//! are and optimised.

use arbitrary::Unstructured;
use sofie_infer_compiler::ir::random::{cases, compare, inputs};
use sofie_infer_compiler::ir::{Graph, eval};
use sofie_infer_compiler::passes;
use sofie_infer_compiler::plan::{check, execute, plan};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Plans refused, by reason: what no kernel serves yet may be refused, never computed wrongly.
type Refused = RefCell<BTreeMap<String, usize>>;

fn runs_as_planned(graph: &Graph, u: &mut Unstructured, refused: &Refused) -> Result<bool, String> {
    let planned = match plan(graph) {
        Ok(planned) => planned,
        Err(why) => {
            *refused.borrow_mut().entry(why.to_string()).or_default() += 1;
            return Ok(false);
        }
    };
    check::check(graph, &planned).map_err(|e| format!("the checker: {e}"))?;
    if planned.arena_bytes < planned.bound_bytes {
        return Err(format!(
            "an arena of {} bytes below its bound {}",
            planned.arena_bytes, planned.bound_bytes
        ));
    }
    let inputs = inputs(graph, u);
    let expected = eval::run(graph, &inputs).map_err(|e| e.to_string())?;
    let actual = execute::execute(&planned, &inputs).map_err(|e| e.to_string())?;
    for ((port, _), (a, b)) in planned.outputs.iter().zip(actual.iter().zip(&expected)) {
        // Sixteen-bit floats round at each step in the evaluator and at the end of a kernel.
        let coarse = graph.values().iter().any(|v| v.dtype.is_float() && v.dtype.size() == 2);
        compare(a, b, if coarse { 5e-2 } else { 1e-4 })
            .map_err(|e| format!("output {:?}: {e}", port.name))?;
    }
    Ok(true)
}

fn each(count: u64, optimise: bool) {
    let refused = Refused::default();
    let planned = RefCell::new(0usize);
    cases(count, |graph, u| {
        let optimised;
        let graph = if optimise {
            optimised = passes::optimize(graph.clone(), None).map_err(|e| e.to_string())?;
            &optimised
        } else {
            graph
        };
        *planned.borrow_mut() += usize::from(runs_as_planned(graph, u, &refused)?);
        Ok(())
    });
    let planned = planned.into_inner();
    for (why, times) in refused.into_inner() {
        println!("refused {times} times: {why}");
    }
    println!("{planned} of {count} planned");
    assert!(planned as u64 * 2 > count, "most graphs are planned");
}

#[test]
fn graphs_run_as_planned() {
    each(1500, false);
}

#[test]
fn optimised_graphs_run_as_planned() {
    each(1500, true);
}
