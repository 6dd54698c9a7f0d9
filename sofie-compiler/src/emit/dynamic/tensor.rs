//! A tensor of a session's interface: an array, a slice of arrays, or a view, by which of its extents are free, or decided
//! by values.

use crate::emit::extents::Writer;
use crate::emit::types;
use crate::ir::Dim;
use crate::plan::Port;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};
use sofie_infer_runtime::DType;
use std::ops::Range;

/// How a tensor stands in a signature.
pub enum Form {
    /// All extents are known: `[[f32; 3]; 2]`.
    Array(TokenStream),
    /// The first alone is free: rows of this type.
    Rows(TokenStream),
    /// Others are free: a view of so many axes.
    View(TokenStream, usize),
}

/// A tensor of the session's interface.
pub struct Tensor {
    /// Name in the file, type, and the extents at the bounds.
    pub port: Port,
    /// The extents.
    pub dims: Vec<Dim>,
    /// The field or parameter.
    pub name: Ident,
    /// How it is written.
    pub form: Form,
    /// The axes whose extents values decide, and the variable that holds each; `dims` has the room.
    pub counts: Vec<(usize, Ident)>,
}

impl Tensor {
    /// `counted` are the axes whose extents values decide.
    pub fn new(port: &Port, dims: &[Dim], name: Ident, counted: &[usize]) -> Tensor {
        let is_free = |axis: &usize| dims[*axis].fixed().is_none() || counted.contains(axis);
        let free: Vec<usize> = (0..dims.len()).filter(is_free).collect();
        let form = match free[..] {
            [] => Form::Array(types::nested(port.dtype, &port.dims)),
            [0] => Form::Rows(types::nested(port.dtype, &port.dims[1..])),
            _ => Form::View(types::element(port.dtype), dims.len()),
        };
        let counts = counted.iter().map(|axis| (*axis, format_ident!("count_along_{axis}"))).collect();
        Tensor { port: port.clone(), dims: dims.to_vec(), name, form, counts }
    }

    /// The extent of an axis.
    fn dim(&self, axis: usize, w: &Writer<'_>) -> TokenStream {
        match self.counts.iter().find(|(a, _)| *a == axis) {
            Some((_, count)) => count.to_token_stream(),
            None => w.count(&self.dims[axis]),
        }
    }

    /// The product of some extents.
    fn product(&self, axes: Range<usize>, w: &Writer<'_>) -> TokenStream {
        let dims = axes.map(|axis| self.dim(axis, w));
        dims.reduce(|a, b| quote!((#a) * (#b))).unwrap_or_else(|| quote!(1))
    }

    /// The number of elements.
    pub fn elements(&self, w: &Writer<'_>) -> TokenStream {
        if self.counts.is_empty() { w.count(&self.len()) } else { self.product(0..self.dims.len(), w) }
    }

    /// The statements that find what values decided; `span` has the place of a number by its axis.
    pub fn counting(
        &self,
        arena: &TokenStream,
        span: &dyn Fn(usize) -> TokenStream,
        w: &Writer<'_>,
    ) -> TokenStream {
        let one = |(axis, count): &(usize, Ident)| {
            let (span, room) = (span(*axis), w.count(&self.dims[*axis]));
            quote!(let #count = rt::counted(#arena.get(#span), #room);)
        };
        self.counts.iter().map(one).collect()
    }

    /// The statements that leave no room between rows of as many elements as values decided, where `start` is the
    /// tensor's first byte.
    pub fn compacting(&self, start: &TokenStream, w: &Writer<'_>) -> TokenStream {
        let ty = types::stored(self.port.dtype);
        let mut counts: Vec<&(usize, Ident)> = self.counts.iter().filter(|(axis, _)| *axis > 0).collect();
        counts.sort_by_key(|(axis, _)| std::cmp::Reverse(*axis));
        // The last axis first: what is behind an axis has no room left.
        let one = |(axis, count): &(usize, Ident)| {
            let before = (0..*axis).map(|a| w.count(&self.dims[a])).reduce(|a, b| quote!((#a) * (#b)));
            let (room, block) = (w.count(&self.dims[*axis]), self.product(*axis + 1..self.dims.len(), w));
            quote! {
                rt::compact(
                    arena.get_mut(rt::span::<#ty>(#start, (#before) * (#room) * (#block))),
                    #room, #block, #count,
                );
            }
        };
        counts.into_iter().map(one).collect()
    }

    pub fn shown(&self) -> String {
        let counted = |axis: usize| self.counts.iter().any(|(a, _)| *a == axis);
        let dims = self.dims.iter().enumerate();
        let dims: Vec<String> =
            dims.map(|(axis, d)| if counted(axis) { format!("..={d}") } else { d.to_string() }).collect();
        format!("{}[{}]", self.port.dtype, dims.join(", "))
    }

    pub fn doc(&self) -> String {
        format!(" `{}`: {}.", self.port.name, self.shown())
    }

    /// The type behind `life` (`&'s`, `&`), to read.
    pub fn shared(&self, life: Option<TokenStream>) -> TokenStream {
        let of_view = life.clone().unwrap_or_else(|| quote!('_));
        match &self.form {
            Form::Array(ty) => quote!(&#life #ty),
            Form::Rows(ty) => quote!(&#life [#ty]),
            Form::View(ty, rank) => {
                let rank = Literal::usize_unsuffixed(*rank);
                quote!(rt::View<#of_view, #ty, #rank>)
            }
        }
    }

    /// The type that inputs are filled through.
    pub fn exclusive(&self) -> TokenStream {
        match &self.form {
            Form::Array(ty) => quote!(&'s mut #ty),
            Form::Rows(ty) => quote!(&'s mut [#ty]),
            Form::View(ty, rank) => {
                let rank = Literal::usize_unsuffixed(*rank);
                quote!(rt::ViewMut<'s, #ty, #rank>)
            }
        }
    }

    /// The flat slice behind `value`.
    pub fn flat(&self, value: &TokenStream) -> TokenStream {
        let flat = match &self.form {
            Form::Array(_) => quote!(rt::flat(#value)),
            Form::Rows(_) => quote!(rt::flat_rows(#value)),
            Form::View(..) => quote!(#value.elements()),
        };
        if self.port.dtype == DType::Bool { quote!(rt::bool_bytes(#flat)) } else { flat }
    }

    /// The tensor over a flat slice.
    pub fn over(&self, slice: TokenStream, w: &Writer<'_>, exclusive: bool) -> TokenStream {
        let slice = match (self.port.dtype, exclusive) {
            (DType::Bool, false) => quote!(rt::bools(#slice)),
            (DType::Bool, true) => quote!(rt::bools_mut(#slice)),
            _ => slice,
        };
        let dims = (0..self.dims.len()).map(|axis| self.dim(axis, w));
        let rows = (!self.dims.is_empty()).then(|| self.dim(0, w));
        match (&self.form, exclusive) {
            (Form::Array(_), false) => quote!(rt::nested(#slice)),
            (Form::Array(_), true) => quote!(rt::nested_mut(#slice)),
            (Form::Rows(_), false) => quote!(rt::nested_rows(#slice, #rows)),
            (Form::Rows(_), true) => quote!(rt::nested_rows_mut(#slice, #rows)),
            (Form::View(..), false) => quote!(rt::view(#slice, [#(#dims),*])),
            (Form::View(..), true) => quote!(rt::view_mut(#slice, [#(#dims),*])),
        }
    }

    /// The extent of an axis of the parameter that has its name.
    pub fn extent(&self, axis: usize) -> TokenStream {
        let name = &self.name;
        match self.form {
            Form::Rows(_) => quote!(#name.len()),
            _ => {
                let axis = Literal::usize_unsuffixed(axis);
                quote!(#name.dims()[#axis])
            }
        }
    }

    /// The number of elements that there is room for.
    pub fn len(&self) -> Dim {
        self.dims.iter().try_fold(Dim::ONE, |n, d| n.mul(d)).unwrap_or(Dim::Fixed(0))
    }
}
