//! One statement a step: the slices it works on, then the call. Descriptors are constants named after the
//! ONNX nodes that they stand for.

use super::literal::Literal;
use super::names::Names;
use super::types;
use crate::plan::{Kernel, Operand, Plan, Preparation, Root, Step};
use proc_macro2::{Ident, Literal as Lit, Span, TokenStream};
use quote::{ToTokens, quote};
use sofie_infer_runtime::DType;

/// Constants and statements of a plan's steps.
#[derive(Debug, Default)]
pub struct Steps {
    /// The descriptors.
    pub constants: TokenStream,
    /// The body of the function that runs them; `arena` is the arena, `inputs` the inputs' flat slices.
    pub body: TokenStream,
}

/// Constants of the module that are none of a step.
pub const RESERVED: &[&str] = &[
    "ARENA_BYTES",
    "BOUND_BYTES",
    "SCRATCH_BYTES",
    "WEIGHT_BYTES",
    "INPUTS",
    "OUTPUTS",
    "PACKED",
    "WEIGHTS",
];

/// Writes all steps; `inputs` names the flat slices.
pub fn steps(plan: &Plan, inputs: &[Ident]) -> Steps {
    let mut names = Names::reserving(RESERVED);
    let mut out = Steps::default();
    for step in &plan.steps {
        let name = names.constant(&constant_name(step));
        out.constants.extend(constant(step, &name));
        out.body.extend(statement(step, &spans(plan, step, inputs), &name.to_token_stream(), inputs, &[]));
    }
    out
}

/// The constant that holds a step's descriptor.
pub fn constant(step: &Step, name: &Ident) -> TokenStream {
    let origin = origin(step);
    let (ty, literal) = descriptor(&step.kernel);
    let doc = if origin.is_empty() { None } else { Some(quote!(#[doc = #origin])) };
    quote! { #doc static #name: #ty = #literal; }
}

/// What the documentation of a step's constant says: the nodes that it stands for, and what a map computes.
fn origin(step: &Step) -> String {
    let nodes = step.origin.join(" + ");
    match &step.kernel {
        Kernel::Map(map) => format!(" {nodes}: `{}`", map.spec().program),
        _ if nodes.is_empty() => nodes,
        _ => format!(" {nodes}"),
    }
}

/// The statements that transform weights once, into the arena `prepared`.
pub fn preparations(plan: &Plan) -> TokenStream {
    let one = |p: &Preparation| {
        let (kernel, weights, to) = (p.kernel.literal(), span(plan, &p.weights), span(plan, &p.prepared));
        quote! { #kernel.prepare(WEIGHTS.get(#weights), prepared.get_mut(#to)); }
    };
    plan.preparations.iter().map(one).collect()
}

/// The kernel and the shortest name of the nodes that it stands for.
pub fn constant_name(step: &Step) -> String {
    let last = step.origin.last().map(|o| o.rsplit(['/', ':']).next().unwrap_or(o).to_owned());
    let first = step.origin.first().map(|o| {
        let parts: Vec<&str> = o.split(['/', ':']).filter(|p| !p.is_empty()).collect();
        parts[parts.len().saturating_sub(2)..].join("_")
    });
    first.filter(|f| !f.is_empty()).or(last).unwrap_or_else(|| step.kernel.name().into())
}

/// How an element of the arena, a weight or an input is named as a slice.
fn span(plan: &Plan, o: &Operand) -> TokenStream {
    let (at, len) = (Lit::usize_unsuffixed(plan.operand_offset(o)), Lit::usize_unsuffixed(o.len));
    let ty = types::stored(o.dtype);
    quote!(rt::span::<#ty>(#at, #len))
}

/// How a step's operands are written: a span of the arena, of weights or of what was prepared; of an input the slice.
pub struct Spans {
    /// Per operand that is written.
    pub writes: Vec<TokenStream>,
    /// Per operand that is read; nothing for one that is not there.
    pub reads: Vec<TokenStream>,
}

/// The spans of a plan whose extents are known.
fn spans(plan: &Plan, step: &Step, inputs: &[Ident]) -> Spans {
    let read = |o: &Operand| match o.root {
        Root::Input(i) => {
            let input = &inputs[i];
            let whole = plan.inputs[i].dims.iter().product::<usize>();
            if o.start == 0 && o.len == whole {
                quote!(#input)
            } else {
                let (start, end) = (Lit::usize_unsuffixed(o.start), Lit::usize_unsuffixed(o.start + o.len));
                quote!((&#input[#start..#end]))
            }
        }
        _ => span(plan, o),
    };
    Spans {
        writes: step.writes.iter().map(|o| span(plan, o)).collect(),
        reads: step.reads.iter().map(|o| o.as_ref().map(read).unwrap_or_default()).collect(),
    }
}

/// The variables that hold what a step borrows, and the statement that borrows them.
struct Borrows {
    statement: TokenStream,
    writes: Vec<TokenStream>,
    reads: Vec<TokenStream>,
}

fn borrow(step: &Step, spans: &Spans, inputs: &[Ident], locals: &[String]) -> Borrows {
    // An input keeps its name; what is borrowed from the arena takes another.
    let taken = inputs.iter().map(Ident::to_string).chain(["arena".into(), "prepared".into()]);
    let taken: Vec<String> = taken.chain(locals.iter().cloned()).collect();
    let mut names = Names::reserving(&taken.iter().map(String::as_str).collect::<Vec<_>>());
    let mut pattern = |prefix: &str, operands: &[(&Operand, &TokenStream)]| {
        let names: Vec<Ident> = operands.iter().map(|_| names.snake(prefix)).collect();
        let spans: Vec<&TokenStream> = operands.iter().map(|(_, span)| *span).collect();
        let alike = operands
            .windows(2)
            .all(|w| types::stored(w[0].0.dtype).to_string() == types::stored(w[1].0.dtype).to_string());
        let (pat, list) = match operands.len() {
            0 => (quote!([]), quote!(rt::NOTHING)),
            _ if alike => (quote!([#(#names),*]), quote!([#(#spans),*])),
            _ => (quote!((#(#names,)*)), quote!((#(#spans,)*))),
        };
        (names, pat, list)
    };
    let in_arena = |o: &Operand| matches!(o.root, Root::Buffer(_));
    let writes: Vec<_> = step.writes.iter().zip(&spans.writes).filter(|(o, _)| in_arena(o)).collect();
    let reads = step.reads.iter().zip(&spans.reads).filter_map(|(o, span)| Some((o.as_ref()?, span)));
    let arena_reads: Vec<_> = reads.filter(|(o, _)| in_arena(o)).collect();
    let (write_names, write_pattern, write_list) = pattern("y", &writes);
    let (read_names, read_pattern, read_list) = pattern("x", &arena_reads);
    let mut next = read_names.iter();
    let reads = step.reads.iter().zip(&spans.reads).map(|(read, span)| match read {
        None => quote!(&[]),
        Some(o) => match o.root {
            Root::Buffer(_) => next.next().map(ToTokens::to_token_stream).unwrap_or_default(),
            Root::Weights => quote!(WEIGHTS.get(#span)),
            Root::Prepared => quote!(prepared.get(#span)),
            Root::Input(_) => span.clone(),
        },
    });
    let reads = reads.collect();
    let statement = quote!(let (#write_pattern, #read_pattern) = arena.split(#write_list, #read_list););
    let mut next = write_names.iter();
    let writes = step.writes.iter().map(|w| match w.root {
        Root::Buffer(_) => next.next().map(ToTokens::to_token_stream).unwrap_or_default(),
        _ => quote!(&mut []),
    });
    let writes = writes.collect();
    Borrows { statement, writes, reads }
}

/// The statements of a step: the slices that it works on, then the call of the descriptor `kernel`. Slices take other
/// names than the inputs and `locals`.
pub fn statement(
    step: &Step,
    spans: &Spans,
    kernel: &TokenStream,
    inputs: &[Ident],
    locals: &[String],
) -> TokenStream {
    let Borrows { statement, writes, reads } = borrow(step, spans, inputs, locals);
    let call = call(step, kernel, writes, reads);
    quote! { #statement #call }
}

/// The call: results first, then operands, scratch last.
fn call(step: &Step, name: &TokenStream, writes: Vec<TokenStream>, reads: Vec<TokenStream>) -> TokenStream {
    match &step.kernel {
        Kernel::Map(_) => {
            let y = &writes[0];
            let y = if step.writes[0].dtype == DType::Bool {
                quote!(rt::map::Dst::bools(#y))
            } else {
                quote!(#y.into())
            };
            let slices = step.reads.iter().flatten().zip(reads).map(|(o, x)| match o.dtype {
                DType::Bool => quote!(rt::map::Src::bools(#x)),
                _ => quote!(#x.into()),
            });
            quote! { #name.run(#y, &[#(#slices),*]); }
        }
        Kernel::Plain(_) => {
            let writes = step.writes.iter().zip(writes).map(|(o, y)| match o.dtype {
                DType::Bool => quote!(rt::map::Dst::bools(#y)),
                _ => quote!(#y.into()),
            });
            let reads = step.reads.iter().flatten().zip(reads).map(|(o, x)| match o.dtype {
                DType::Bool => quote!(rt::map::Src::bools(#x)),
                _ => quote!(#x.into()),
            });
            quote! { rt::plain::Algorithm::run(&#name, &mut [#(#writes),*], &[#(#reads),*]); }
        }
        Kernel::Recurrent(_) => {
            let ([y, h, c, scratch], [x, w, r, bias, peepholes, lens, h0, c0]) = (&writes[..], &reads[..])
            else {
                return TokenStream::new();
            };
            quote! {
                #name.run(
                    rt::recurrent::Results { y: #y, h: #h, c: #c },
                    #x,
                    rt::recurrent::Weights { w: #w, r: #r, bias: #bias, peepholes: #peepholes },
                    rt::recurrent::State { lens: #lens, h: #h0, c: #c0 },
                    #scratch,
                );
            }
        }
        kernel => {
            let method = Ident::new(kernel.method(), Span::call_site());
            let (results, scratch) = writes.split_at(writes.len() - usize::from(kernel.takes_scratch()));
            quote! { #name.#method(#(#results,)* #(#reads,)* #(#scratch),*); }
        }
    }
}

/// The descriptor's type and value.
pub fn descriptor(kernel: &Kernel) -> (TokenStream, TokenStream) {
    let (ty, value) = parts(kernel);
    (ty, value.literal())
}

/// The descriptor's fields below `place` with their values.
pub fn assignments(kernel: &Kernel, place: &TokenStream) -> Vec<(TokenStream, TokenStream)> {
    let mut fields = Vec::new();
    parts(kernel).1.assign(place, &mut fields);
    fields
}

fn parts(kernel: &Kernel) -> (TokenStream, &dyn Literal) {
    macro_rules! table {
        ($($variant:ident => $($path:ident)::+,)*) => {
            match kernel {
                $(Kernel::$variant(k) => (quote!(rt::$($path)::+), k),)*
            }
        };
    }
    if let Kernel::Plain(k) = kernel {
        let ty = Ident::new(k.name(), Span::call_site());
        return (quote!(rt::plain::#ty), k);
    }
    table! {
        Plain => plain::Plain,
        Copy => copy::Copy,
        Pad => copy::Pad,
        Gather => gather::Gather,
        Scatter => scatter::Scatter,
        TopK => topk::TopK,
        Gemm => gemm::Gemm,
        BatchedGemm => gemm::BatchedGemm,
        Attention => attention::Attention,
        Map => map::Map,
        Recurrent => recurrent::Recurrent,
        Conv => conv::Conv,
        ConvPack => conv::Conv,
        ConvTransposePack => conv::ConvTranspose,
        ConvPlain => conv::Conv,
        ConvTranspose => conv::ConvTranspose,
        ConvTransposePlain => conv::ConvTranspose,
        Pool => pool::Pool,
        PoolPlain => pool::Pool,
        Interpolate => interpolate::Interpolate,
        InterpolatePlain => interpolate::Interpolate,
        InterpolateCopy => interpolate::Interpolate,
        Reduce => reduce::Reduce,
        ArgReduce => reduce::ArgReduce,
        Rows => rows::Rows,
        RowsInPlace => rows::Rows,
    }
}
