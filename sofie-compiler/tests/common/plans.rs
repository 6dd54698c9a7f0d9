//! Plans of graphs of convolutions, and what they are made of.

use sofie_infer_compiler::ir::{Graph, Window};
use sofie_infer_compiler::plan::{Plan, check, plan};

/// A window over two axes alike: kernel, stride, dilation, pads before and behind.
pub fn window([kernel, stride, dilation, begin, end]: [usize; 5]) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![dilation; 2],
        pads_begin: vec![begin; 2],
        pads_end: vec![end; 2],
    }
}

/// The plan, proved by the checker.
pub fn proved(graph: &Graph) -> Plan {
    let plan = plan(graph).unwrap();
    check::check(graph, &plan).unwrap();
    plan
}

/// The names of the steps' kernels.
pub fn kernels(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.kernel.name()).collect()
}
