//! A tensor of a session's interface: an array, a slice of arrays, or a view, by which of its extents are free, or decided
//! by values.

use crate::emit::extents::Writer;
use crate::emit::types;
use crate::ir::Dim;
use crate::plan::Port;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use sofie_infer_runtime::DType;
use std::sync::Arc;

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
    /// What documentation calls each extent.
    shown: Vec<String>,
}

impl Tensor {
    /// `rooms` are the extents that values decide, by name, with the most that each can be.
    pub fn new(port: &Port, dims: &[Dim], name: Ident, rooms: &[(Arc<str>, Dim)]) -> Tensor {
        let free: Vec<usize> = (0..dims.len()).filter(|axis| dims[*axis].fixed().is_none()).collect();
        let form = match free[..] {
            [] => Form::Array(types::nested(port.dtype, &port.dims)),
            [0] => Form::Rows(types::nested(port.dtype, &port.dims[1..])),
            _ => Form::View(types::element(port.dtype), dims.len()),
        };
        let shown =
            |d: &Dim| match rooms.iter().find(|(name, _)| d.as_symbol().is_some_and(|s| s.name == *name)) {
                Some((_, room)) => format!("..={room}"),
                None => d.to_string(),
            };
        let shown = dims.iter().map(shown).collect();
        Tensor { port: port.clone(), dims: dims.to_vec(), name, form, shown }
    }

    pub fn shown(&self) -> String {
        format!("{}[{}]", self.port.dtype, self.shown.join(", "))
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
        let dims = (0..self.dims.len()).map(|axis| w.count(&self.dims[axis]));
        let rows = (!self.dims.is_empty()).then(|| w.count(&self.dims[0]));
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
