//! `op("domain::Name" = path::to::function)` and `op("domain::Name"([n, c], [c]) -> [n, 2 * c] = function)`: an operator of
//! the calling program, with or without the shapes of its results.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use sofie_infer_compiler::DType;
use sofie_infer_compiler::ops::{Extent, Rule, UserOperator};
use syn::ext::IdentExt;
use syn::parse::{Error, ParseStream, Result};
use syn::punctuated::Punctuated;
use syn::{BinOp, Expr, Ident, Lit, LitStr, Path, Token, bracketed, parenthesized, token};

/// An operator and the function that computes it, as the expansion's module names it.
pub fn operator(input: ParseStream) -> Result<(UserOperator, TokenStream)> {
    let name: LitStr = input.parse()?;
    if !name.value().contains("::") {
        return Err(Error::new(name.span(), "an operator is named \"domain::Name\""));
    }
    let rule = if input.peek(token::Paren) { Some(rule(input)?) } else { None };
    input.parse::<Token![=]>()?;
    let function = from_inside(&input.parse::<Path>()?);
    Ok((UserOperator { name: name.value(), rule }, function))
}

/// A path of the calling module as a module inside it names it.
fn from_inside(path: &Path) -> TokenStream {
    let first = path.segments.first().map(|s| s.ident.to_string()).unwrap_or_default();
    match first.as_str() {
        _ if path.leading_colon.is_some() => quote!(#path),
        "crate" => quote!(#path),
        "self" => {
            let rest = path.segments.iter().skip(1);
            quote!(super::#(#rest)::*)
        }
        _ => quote!(super::#path),
    }
}

/// `([n, c], [c]) -> [n, 2 * c]`, several results in parentheses, each with its type in front if that is not the first
/// operand's.
fn rule(input: ParseStream) -> Result<Rule> {
    let operands;
    parenthesized!(operands in input);
    let inputs = Punctuated::<Extents, Token![,]>::parse_terminated(&operands)?;
    let inputs = inputs.into_iter().map(|e| e.0).collect();
    input.parse::<Token![->]>()?;
    let outputs = if input.peek(token::Paren) {
        let results;
        parenthesized!(results in input);
        Punctuated::<Typed, Token![,]>::parse_terminated(&results)?.into_iter().map(|t| t.0).collect()
    } else {
        vec![input.parse::<Typed>()?.0]
    };
    Ok(Rule { inputs, outputs })
}

/// `[n, 2 * c]`.
struct Extents(Vec<Extent>);

impl syn::parse::Parse for Extents {
    fn parse(input: ParseStream) -> Result<Extents> {
        let list;
        bracketed!(list in input);
        let extents = Punctuated::<Expr, Token![,]>::parse_terminated(&list)?;
        extents.iter().map(extent).collect::<Result<_>>().map(Extents)
    }
}

/// `i64[n]`.
struct Typed((Option<DType>, Vec<Extent>));

impl syn::parse::Parse for Typed {
    fn parse(input: ParseStream) -> Result<Typed> {
        let dtype =
            if input.peek(Ident::peek_any) { Some(element(&input.call(Ident::parse_any)?)?) } else { None };
        Ok(Typed((dtype, input.parse::<Extents>()?.0)))
    }
}

fn element(name: &Ident) -> Result<DType> {
    DType::ALL.into_iter().find(|t| name == t.name()).ok_or_else(|| {
        Error::new(name.span(), format!("`{name}` is no element type; f32, i64 and bool are some"))
    })
}

fn extent(e: &Expr) -> Result<Extent> {
    let wrong = |span: Span| Error::new(span, "an extent is a name, a number, or +, -, * and / of extents");
    Ok(match e {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(n) => Extent::Number(n.base10_parse()?),
            other => return Err(wrong(other.span())),
        },
        Expr::Path(path) => Extent::Name(path.path.require_ident()?.unraw().to_string()),
        Expr::Paren(inner) => extent(&inner.expr)?,
        Expr::Group(inner) => extent(&inner.expr)?,
        Expr::Binary(binary) => {
            let (a, b) = (Box::new(extent(&binary.left)?), Box::new(extent(&binary.right)?));
            match binary.op {
                BinOp::Add(_) => Extent::Add(a, b),
                BinOp::Sub(_) => Extent::Sub(a, b),
                BinOp::Mul(_) => Extent::Mul(a, b),
                BinOp::Div(_) => Extent::Div(a, b),
                _ => return Err(wrong(syn::spanned::Spanned::span(&binary.op))),
            }
        }
        other => return Err(wrong(syn::spanned::Spanned::span(other))),
    })
}
