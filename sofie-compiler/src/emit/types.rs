//! Tensor types: `[[f32; 3]; 2]` for shape `[2, 3]`, and how messages and documentation write shapes.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::quote;
use sofie_infer_runtime::DType;

/// The nested array of a shape.
pub fn nested(dtype: DType, dims: &[usize]) -> TokenStream {
    let mut ty = element(dtype);
    for &n in dims.iter().rev() {
        let n = Literal::usize_unsuffixed(n);
        ty = quote!([#ty; #n]);
    }
    ty
}

/// The element's type in a signature.
pub fn element(dtype: DType) -> TokenStream {
    let name = Ident::new(dtype.name(), Span::call_site());
    match dtype {
        DType::F16 | DType::BF16 => quote!(rt::#name),
        _ => quote!(#name),
    }
}

/// The element's type in the arena, where any byte may be found: bools are `u8`.
pub fn stored(dtype: DType) -> TokenStream {
    if dtype == DType::Bool { quote!(u8) } else { element(dtype) }
}

/// `f32[2, 3]`.
pub fn shown(dtype: DType, dims: &[usize]) -> String {
    format!("{dtype}{dims:?}")
}

/// Bytes for a person: `512 B`, `26 kB`, `1.5 MB`.
pub fn size(bytes: usize) -> String {
    match bytes {
        0..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{:.1} kB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}
