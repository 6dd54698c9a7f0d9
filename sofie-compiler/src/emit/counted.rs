//! Outputs of fixed sessions whose extents values decide: the numbers that say how many elements there are, and the
//! statements that close the gaps.

use super::dynamic::Tensor;
use super::extents::{Variables, Writer};
use super::types;
use crate::ir::Dim;
use crate::plan::{Operand, Plan, Port};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// An output some of whose extents values decide.
pub struct Counted {
    /// The output, with symbols for these extents.
    pub tensor: Tensor,
    counts: Vec<Count>,
    variables: Variables,
    /// Its first byte in the arena.
    start: usize,
}

/// One of the extents.
struct Count {
    axis: usize,
    room: usize,
    local: Ident,
    /// The byte in the arena where the number is.
    at: usize,
}

/// The outputs with such extents; nothing for one without.
pub fn counted<'n>(plan: &Plan, names: impl Iterator<Item = &'n Ident>) -> Vec<Option<Counted>> {
    let outputs = plan.outputs.iter().zip(names).enumerate();
    outputs.map(|(i, ((port, operand), name))| Counted::new(plan, i, port, operand, name)).collect()
}

impl Counted {
    fn new(plan: &Plan, output: usize, port: &Port, operand: &Operand, name: &Ident) -> Option<Counted> {
        let own = plan.extents.iter().filter(|(i, ..)| *i == output);
        let counts: Vec<Count> = own
            .map(|(_, axis, number)| Count {
                axis: *axis,
                room: port.dims[*axis],
                local: format_ident!("count_along_{axis}"),
                at: plan.operand_offset(number),
            })
            .collect();
        let mut dims: Vec<Dim> = port.dims.iter().map(|n| Dim::from(*n)).collect();
        let (mut variables, mut rooms) = (Variables::new(), Vec::new());
        for count in &counts {
            let symbol = count.local.to_string();
            dims[count.axis] = Dim::bounded(&symbol, 0, i64::try_from(count.room).unwrap_or(i64::MAX));
            variables.insert(symbol.clone(), count.local.clone());
            rooms.push((symbol.into(), Dim::from(count.room)));
        }
        let tensor = Tensor::new(port, &dims, name.clone(), &rooms);
        let start = plan.operand_offset(operand);
        (!counts.is_empty()).then_some(Counted { tensor, counts, variables, start })
    }

    fn writer(&self) -> Writer<'_> {
        Writer { variables: &self.variables }
    }

    /// The statements that find what values decided.
    fn counting(&self, arena: &TokenStream) -> TokenStream {
        let one = |c: &Count| {
            let (local, at, room) = (&c.local, number(c.at), number(c.room));
            quote!(let #local = rt::counted(#arena.get(rt::span::<i64>(#at, 1)), #room);)
        };
        self.counts.iter().map(one).collect()
    }

    /// The output as users see it.
    pub fn made(&self) -> TokenStream {
        let (counting, w) = (self.counting(&quote!(arena)), self.writer());
        let (ty, at, len) =
            (types::stored(self.tensor.port.dtype), number(self.start), w.count(&self.tensor.len()));
        let over = self.tensor.over(quote!(arena.get(rt::span::<#ty>(#at, #len))), &w, false);
        quote!({ #counting #over })
    }

    /// Its bytes, in a method of the session.
    pub fn bytes(&self) -> TokenStream {
        let (counting, len) = (self.counting(&quote!(self.arena)), self.writer().count(&self.tensor.len()));
        let (at, size) = (number(self.start), number(self.tensor.port.dtype.size()));
        quote!({ #counting self.arena.get(rt::span::<u8>(#at, (#len) * #size)) })
    }

    /// The statements that leave no room between rows of as many elements as values decided.
    fn compacting(&self) -> TokenStream {
        let (ty, start, w) = (types::stored(self.tensor.port.dtype), number(self.start), self.writer());
        let mut counts: Vec<&Count> = self.counts.iter().filter(|c| c.axis > 0).collect();
        counts.sort_by_key(|c| std::cmp::Reverse(c.axis));
        // The last axis first: what is behind an axis has no room left.
        let one = |c: &Count| {
            let rows: usize = self.tensor.port.dims[..c.axis].iter().product();
            let behind = self.tensor.dims[c.axis + 1..].iter().try_fold(Dim::ONE, |n, d| n.mul(d));
            let block = w.count(&behind.unwrap_or(Dim::Fixed(0)));
            let (rows, room, local) = (number(rows), number(c.room), &c.local);
            quote! {
                rt::compact(
                    arena.get_mut(rt::span::<#ty>(#start, #rows * #room * (#block))), #room, #block, #local,
                );
            }
        };
        counts.into_iter().map(one).collect()
    }
}

fn number(n: usize) -> Literal {
    Literal::usize_unsuffixed(n)
}

/// The statements behind the steps that leave no room in outputs whose extents values decide.
pub fn compact(counted: &[Option<Counted>]) -> TokenStream {
    let one = |t: &Counted| {
        let (counting, compacting) = (t.counting(&quote!(arena)), t.compacting());
        (!compacting.is_empty()).then(|| quote!({ #counting #compacting }))
    };
    counted.iter().flatten().filter_map(one).collect()
}
