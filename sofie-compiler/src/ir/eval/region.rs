//! `If` and `Loop`: the evaluator over their bodies.

use super::super::{Branches, Invalid, Repeat, Tensor};
use super::run;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;

fn holds(t: &Tensor) -> bool {
    t.get(0).bits != 0
}

/// The branch that the first operand chooses, over the others.
pub fn branch(b: &Branches, x: &[&Tensor]) -> Result<Vec<Tensor>, Invalid> {
    let operands: Vec<Tensor> = x[1..].iter().map(|t| (*t).clone()).collect();
    run(if holds(x[0]) { &b.then } else { &b.otherwise }, &operands)
}

/// The states after the last iteration, the rows of all, zeros behind them, and the number of iterations.
pub fn repeat(l: &Repeat, x: &[&Tensor], results: &[(DType, Vec<usize>)]) -> Result<Vec<Tensor>, Invalid> {
    let operands = &x[l.operands_before()..];
    let trips = if l.counted { x[0].to_ints().and_then(|n| n.first().copied()).unwrap_or(0) } else { l.most };
    let mut go = !l.ends || holds(x[usize::from(l.counted)]);
    let (states, seen) = operands.split_at(l.states);
    let mut states: Vec<Tensor> = states.iter().map(|t| (*t).clone()).collect();
    let rows = &results[l.states..results.len() - 1];
    let mut stacked = vec![Vec::new(); rows.len()];
    let mut i = 0;
    while i < trips.min(l.most) && go {
        let mut inputs = vec![Tensor::of::<i64>(&[], &[i])];
        inputs.append(&mut states);
        inputs.extend(seen.iter().map(|t| (*t).clone()));
        let mut outputs = run(&l.body, &inputs)?.into_iter();
        if l.ends {
            go = outputs.next().is_some_and(|t| holds(&t));
        }
        states.extend(outputs.by_ref().take(l.states));
        for (all, row) in stacked.iter_mut().zip(outputs) {
            all.extend_from_slice(row.bytes());
        }
        i += 1;
    }
    for ((dtype, dims), mut bytes) in rows.iter().zip(stacked) {
        bytes.resize(dims.iter().product::<usize>() * dtype.size(), 0);
        let rows = Tensor::from_bytes(*dtype, dims.clone(), bytes);
        states.push(rows.ok_or_else(|| Invalid::new("rows of other sizes"))?);
    }
    states.push(Tensor::scalar(Scalar::from(i)));
    Ok(states)
}
