//! Outputs of fixed sessions whose extents values decide: the places of the numbers that say how many elements there are,
//! and the statements that close the gaps.

use super::dynamic::Counted;
use super::extents::{Variables, Writer};
use crate::ir::Dim;
use crate::plan::{Operand, Plan, Port};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};

/// The outputs as tensors some of whose extents values decide; nothing for one without.
pub fn counted<'n>(plan: &Plan, names: impl Iterator<Item = &'n Ident>) -> Vec<Option<Counted>> {
    let one = |(i, ((port, _), name)): (usize, (&(Port, Operand), &Ident))| {
        let axes: Vec<usize> = plan.extents.iter().filter(|e| e.0 == i).map(|e| e.1).collect();
        let dims: Vec<Dim> = port.dims.iter().map(|n| Dim::from(*n)).collect();
        (!axes.is_empty()).then(|| Counted::new(port, &dims, name.clone(), &axes))
    };
    plan.outputs.iter().zip(names).enumerate().map(one).collect()
}

/// Where the number of elements of an output along an axis is.
pub fn count_span(plan: &Plan, output: usize, axis: usize) -> TokenStream {
    let found = plan.extents.iter().find(|(i, a, _)| (*i, *a) == (output, axis));
    let at = found.map_or(0, |(.., operand)| plan.operand_offset(operand));
    let at = Literal::usize_unsuffixed(at);
    quote!(rt::span::<i64>(#at, 1))
}

/// The statements behind the steps that leave no room in outputs whose extents values decide.
pub fn compact(plan: &Plan, counted: &[Option<Counted>]) -> TokenStream {
    let variables = Variables::new();
    let w = Writer { variables: &variables };
    let one = |(i, (t, (_, operand))): (usize, (&Option<Counted>, &(Port, Operand)))| {
        let start = Literal::usize_unsuffixed(plan.operand_offset(operand)).into_token_stream();
        let t = t.as_ref()?;
        let compacting = t.compacting(&start, &w);
        let counting = t.counting(&quote!(arena), &|axis| count_span(plan, i, axis), &w);
        (!compacting.is_empty()).then(|| quote!({ #counting #compacting }))
    };
    counted.iter().zip(&plan.outputs).enumerate().filter_map(one).collect()
}
