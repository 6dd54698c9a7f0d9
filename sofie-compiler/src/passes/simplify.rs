//! Local identities, over and over: views merge, moves that move nothing go, expressions shrink.
//! What later passes look for has one form after this one.

use super::pattern::{peephole, until_stable};
use super::{map_algebra, states, views};
use crate::ir::{Graph, Invalid, Op};

/// Applies every local identity until none applies.
pub fn simplify(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        peephole(g, |b, op, inputs| match op {
            Op::Map(e) => match views::map_below_reshape(b, e, inputs)? {
                Some(v) => Ok(Some(vec![v])),
                None => map_algebra::map(b, e, inputs).map(|v| Some(vec![v])),
            },
            Op::Recurrent(layer) => states::without_zeros(b, layer, inputs),
            _ => Ok(views::view(b, op, inputs)?.map(|v| vec![v])),
        })
    })
}
