//! Kernel descriptors as Rust source: each field by name, so that a person can read what a step does.

use crate::plan::fields::{choices, descriptors, names, plain_kernels};
use proc_macro2::{Literal as Lit, TokenStream};
use quote::{format_ident, quote};
use sofie_infer_runtime as rt;

/// A value that can be written as a constant expression; `rt` names the runtime there.
pub trait Literal {
    /// The expression.
    fn literal(&self) -> TokenStream;

    /// The fields below `place` that can be assigned one by one, with their values.
    fn assign(&self, place: &TokenStream, fields: &mut Vec<(TokenStream, TokenStream)>) {
        fields.push((place.clone(), self.literal()));
    }
}

impl Literal for usize {
    fn literal(&self) -> TokenStream {
        Lit::usize_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for isize {
    fn literal(&self) -> TokenStream {
        // A negative literal panics when it meets other tokens.
        let n = Lit::usize_unsuffixed(self.unsigned_abs());
        if *self < 0 { quote!(-#n) } else { quote!(#n) }
    }
}

impl Literal for i64 {
    fn literal(&self) -> TokenStream {
        // A negative literal panics when it meets other tokens; the lowest has no positive counterpart.
        let n = Lit::u64_unsuffixed(self.unsigned_abs());
        if *self == i64::MIN {
            quote!(i64::MIN)
        } else if *self < 0 {
            quote!(-#n)
        } else {
            quote!(#n)
        }
    }
}

impl Literal for u64 {
    fn literal(&self) -> TokenStream {
        Lit::u64_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for u32 {
    fn literal(&self) -> TokenStream {
        Lit::u32_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for u8 {
    fn literal(&self) -> TokenStream {
        Lit::u8_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for bool {
    fn literal(&self) -> TokenStream {
        quote!(#self)
    }
}

impl Literal for f32 {
    fn literal(&self) -> TokenStream {
        if !self.is_finite() {
            let bits = Lit::u32_unsuffixed(self.to_bits());
            return quote!(f32::from_bits(#bits));
        }
        let n = Lit::f32_unsuffixed(self.abs());
        if self.is_sign_negative() { quote!(-#n) } else { quote!(#n) }
    }
}

/// Equal elements at an array's end from which on they are left to `pad`.
const FILLING: usize = 3;

impl<T: Literal + PartialEq, const N: usize> Literal for [T; N] {
    fn literal(&self) -> TokenStream {
        let Some(last) = self.last() else { return quote!([]) };
        let head = &self[..self.len() - self.iter().rev().take_while(|x| *x == last).count()];
        if N - head.len() <= FILLING {
            return self.as_slice().literal();
        }
        let (head, fill) = (head.literal(), last.literal());
        quote!(rt::pad(#head, #fill))
    }
}

impl<T: Literal> Literal for [T] {
    fn literal(&self) -> TokenStream {
        let items = self.iter().map(Literal::literal);
        quote!([#(#items),*])
    }
}

impl<T: Literal + Clone> Literal for rt::Cow<'static, [T]> {
    fn literal(&self) -> TokenStream {
        let items = self.as_ref().literal();
        quote!(rt::Cow::Borrowed(&#items))
    }
}

impl<T: Literal> Literal for Option<T> {
    fn literal(&self) -> TokenStream {
        match self.as_ref().map(Literal::literal) {
            Some(x) => quote!(Some(#x)),
            None => quote!(None),
        }
    }
}

use quote::ToTokens;

impl Literal for crate::ir::Attribute {
    fn literal(&self) -> TokenStream {
        use crate::ir::Attribute as A;
        match self {
            A::Int(n) => {
                let n = n.literal();
                quote!(rt::Attribute::Int(#n))
            }
            A::Float(x) => {
                let x = x.literal();
                quote!(rt::Attribute::Float(#x))
            }
            A::String(s) => quote!(rt::Attribute::String(#s)),
            A::Ints(ns) => {
                let ns = ns[..].literal();
                quote!(rt::Attribute::Ints(&#ns))
            }
            A::Floats(xs) => {
                let xs = xs[..].literal();
                quote!(rt::Attribute::Floats(&#xs))
            }
            A::Strings(all) => quote!(rt::Attribute::Strings(&[#(#all),*])),
        }
    }
}

/// What a user's own function is given beside tensors.
impl Literal for crate::plan::Custom {
    fn literal(&self) -> TokenStream {
        let attributes = self.attributes.iter().map(|(name, a)| {
            let a = a.literal();
            quote!((#name, #a))
        });
        quote!(rt::Attributes::new(&[#(#attributes),*]))
    }
}

/// Steps that hold steps are statements, not descriptors.
impl Literal for crate::plan::If {
    fn literal(&self) -> TokenStream {
        TokenStream::new()
    }
}

/// As for `If`.
impl Literal for crate::plan::Loop {
    fn literal(&self) -> TokenStream {
        TokenStream::new()
    }
}

/// As for `If`.
impl Literal for crate::plan::Found {
    fn literal(&self) -> TokenStream {
        TokenStream::new()
    }
}

/// Structs by their fields: `path::Name { field, … }` relative to the runtime crate.
macro_rules! structs {
    ($($($path:ident)::+ { $($field:ident),* $(,)? })*) => {$(
        impl Literal for rt::$($path)::+ {
            fn literal(&self) -> TokenStream {
                let rt::$($path)::+ { $($field),* } = self;
                $(let $field = $field.literal();)*
                quote!(rt::$($path)::+ { $($field: #$field),* })
            }

            fn assign(&self, place: &TokenStream, fields: &mut Vec<(TokenStream, TokenStream)>) {
                let rt::$($path)::+ { $($field),* } = self;
                $($field.assign(&quote!(#place.$field), fields);)*
            }
        }
    )*};
}

/// Enums by their variants, with named fields or none.
macro_rules! variants {
    ($($path:path { $($variant:ident $(($one:ident))? $({ $($field:ident),* $(,)? })?),* $(,)? })*) => {$(
        impl Literal for $path {
            fn literal(&self) -> TokenStream {
                type E = $path;
                match self {
                    $(E::$variant $(($one))? $({ $($field),* })? => {
                        $(let $one = $one.literal();)?
                        $($(let $field = $field.literal();)*)?
                        quote!($path::$variant $((#$one))? $({ $($field: #$field),* })?)
                    })*
                }
            }
        }
    )*};
}

choices!(variants);

/// A plain kernel is written as its own descriptor.
macro_rules! plain {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        structs! { $(plain::$name { $($field),* })* }

        impl Literal for rt::plain::Plain {
            fn literal(&self) -> TokenStream {
                match self {
                    $(rt::plain::Plain::$name(k) => k.literal(),)*
                }
            }

            fn assign(&self, place: &TokenStream, fields: &mut Vec<(TokenStream, TokenStream)>) {
                match self {
                    $(rt::plain::Plain::$name(k) => k.assign(place, fields),)*
                }
            }
        }
    };
}

plain_kernels!(plain);

/// Enums without fields whose variants print as they are called.
macro_rules! plain_variants {
    ($($path:path;)*) => {$(
        impl Literal for $path {
            fn literal(&self) -> TokenStream {
                let variant = format_ident!("{}", format!("{self:?}"));
                quote!($path::#variant)
            }
        }
    )*};
}

names!(plain_variants);

impl Literal for rt::map::Inst {
    fn literal(&self) -> TokenStream {
        let (code, dtype, dst) = (self.code.literal(), self.dtype.literal(), self.dst.literal());
        let args = self.args[..self.code.arity()].literal();
        quote!(rt::map::Inst::new(#code, #dtype, #dst, #args))
    }
}

impl Literal for rt::map::Scalar {
    fn literal(&self) -> TokenStream {
        if self.dtype == rt::DType::F32 {
            let value = f32::from_bits(self.bits as u32).literal();
            return quote!(rt::map::Scalar::f32(#value));
        }
        let (dtype, bits) = (self.dtype.literal(), self.bits.literal());
        quote!(rt::map::Scalar { dtype: #dtype, bits: #bits })
    }
}

impl Literal for rt::map::MapProgram {
    fn literal(&self) -> TokenStream {
        let (insts, consts, inputs) =
            (self.insts().literal(), self.consts().literal(), self.inputs().literal());
        quote!(rt::map::MapProgram::of(&#insts, &#consts, &#inputs))
    }
}

impl Literal for rt::map::Map {
    fn literal(&self) -> TokenStream {
        let (places, program) = (map_places(self.spec()), self.spec().program.literal());
        quote!(rt::map::Map::of(#places, #program))
    }
}

/// Where a map works: the arguments of `Map::of` before the program.
pub fn map_places(spec: &rt::map::MapSpec) -> TokenStream {
    let operands = spec.operands.iter().map(|o| operand(o, spec.rank));
    let (dims, strides) = (spec.dims[..spec.rank].literal(), spec.out_strides[..spec.rank].literal());
    let offset = spec.out_offset.literal();
    quote!(#dims, #strides, #offset, &[#(#operands),*])
}

/// An operand of a map over `rank` axes.
fn operand(o: &rt::map::Operand, rank: usize) -> TokenStream {
    let offset = o.offset.literal();
    if let rt::map::Source::Slice(slice) = &o.source {
        let (slice, strides) = (slice.literal(), o.strides[..rank].literal());
        return quote!(rt::map::Operand::slice(#slice, #strides, #offset));
    }
    let (source, strides) = (o.source.literal(), o.strides.literal());
    quote!(rt::map::Operand { source: #source, strides: #strides, offset: #offset })
}

descriptors!(structs);
