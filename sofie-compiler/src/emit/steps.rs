//! One statement a step: the slices it works on, then the call. Descriptors are constants named after the
//! ONNX nodes that they stand for.

use super::literal::Literal;
use super::names::Names;
use super::types;
use crate::plan::{Body, If, Kernel, Loop, Operand, Plan, Preparation, Root, Step};
use proc_macro2::{Ident, Literal as Lit, Span, TokenStream};
use quote::{ToTokens, quote};
use sofie_infer_runtime::DType;
use std::collections::BTreeMap;

/// Constants and statements of a plan's steps.
#[derive(Debug, Default)]
pub struct Steps {
    /// The descriptors.
    pub constants: TokenStream,
    /// The body of the function that runs them; `arena` is the arena, `inputs` the inputs' flat slices.
    pub body: TokenStream,
}

/// Functions of the calling program by operator.
pub type Functions<'a> = BTreeMap<&'a str, &'a TokenStream>;

/// What the statements are written for.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What weights are read from.
    pub weights: &'a TokenStream,
    /// Whether the time of each step is taken.
    pub profile: bool,
    /// What the calling program computes.
    pub functions: &'a Functions<'a>,
}

/// Constants of the module that are none of a step.
pub const RESERVED: &[&str] = &[
    "ARENA_BYTES",
    "ARENA_BOUND_BYTES",
    "SCRATCH_BYTES",
    "WEIGHT_BYTES",
    "INPUTS",
    "OUTPUTS",
    "PACKED",
    "WEIGHTS",
    "STEPS",
];

/// Writes all steps of a plan whose extents are known; `inputs` names the flat slices.
pub fn steps(cx: &Context<'_>, plan: &Plan, inputs: &[Ident]) -> Steps {
    let mut names = Names::reserving(RESERVED);
    let mut out = Steps::default();
    let mut writer = Writer { cx, plan, inputs, names: &mut names, constants: &mut out.constants };
    for (i, step) in plan.steps.iter().enumerate() {
        let statement = writer.step(step);
        out.body.extend(if cx.profile { timed(i, statement, None) } else { statement });
    }
    out
}

/// Writes a step whose extents and places are known, with those that it holds.
pub fn one(
    cx: &Context<'_>,
    plan: &Plan,
    step: &Step,
    inputs: &[Ident],
    names: &mut Names,
    constants: &mut TokenStream,
) -> TokenStream {
    Writer { cx, plan, inputs, names, constants }.step(step)
}

/// Writes steps, those of bodies among them.
struct Writer<'a> {
    cx: &'a Context<'a>,
    plan: &'a Plan,
    inputs: &'a [Ident],
    names: &'a mut Names,
    constants: &'a mut TokenStream,
}

impl Writer<'_> {
    fn step(&mut self, step: &Step) -> TokenStream {
        match &step.kernel {
            Kernel::If(k) => return self.branch(k),
            Kernel::Loop(k) => return self.repeat(k),
            _ => {}
        }
        let name = self.names.constant(&constant_name(step));
        self.constants.extend(constant(step, &name));
        let spans = spans(self.plan, step, self.inputs);
        statement(self.cx, step, &spans, &name.to_token_stream(), self.inputs, &[])
    }

    fn body(&mut self, body: &Body) -> TokenStream {
        body.steps.iter().map(|step| self.step(step)).collect()
    }

    /// The one element of an operand.
    fn element(&self, o: &Operand) -> TokenStream {
        let (span, weights) = (span(self.plan, o), self.cx.weights);
        match o.root {
            Root::Buffer(_) => quote!(arena.get(#span)[0]),
            Root::Weights => quote!(#weights.get(#span)[0]),
            Root::Prepared => quote!(prepared.get(#span)[0]),
            Root::Input(i) => {
                let (input, at) = (&self.inputs[i], Lit::usize_unsuffixed(o.start));
                quote!(#input[#at])
            }
        }
    }

    fn branch(&mut self, k: &If) -> TokenStream {
        let condition = self.element(&k.condition);
        let (then, otherwise) = (self.body(&k.then), self.body(&k.otherwise));
        let otherwise = (!otherwise.is_empty()).then(|| quote!(else { #otherwise }));
        quote! { if #condition != 0 { #then } #otherwise }
    }

    /// The number of the iteration stands in the arena, where the body and what follows the loop read it.
    fn repeat(&mut self, k: &Loop) -> TokenStream {
        let counter = span(self.plan, &k.counter);
        let most = Lit::i64_unsuffixed(k.most);
        let trips = match &k.trips {
            None => quote!(#most),
            Some(o) if k.most == i64::MAX => self.element(o),
            Some(o) => {
                let trips = self.element(o);
                quote!(#trips.min(#most))
            }
        };
        let go = k.go.as_ref().map(|o| {
            let go = self.element(o);
            quote!(&& #go != 0)
        });
        let body = self.body(&k.body);
        quote! {
            arena.get_mut(#counter)[0] = 0;
            while arena.get(#counter)[0] < #trips #go {
                #body
                arena.get_mut(#counter)[0] += 1;
            }
        }
    }
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

/// A statement whose time goes into the profile; `flop` where its arithmetic depends on the extents.
pub fn timed(step: usize, statement: TokenStream, flop: Option<TokenStream>) -> TokenStream {
    let step = Lit::usize_unsuffixed(step);
    let record = match flop {
        None => quote!(profile.record(#step, started);),
        Some(flop) => quote!(profile.record_flop(#step, started, (#flop) as u64);),
    };
    quote! {
        let started = rt::profile::now();
        #statement
        #record
    }
}

/// The statements that transform weights once, into the arena `prepared`.
pub fn preparations(plan: &Plan, place: &TokenStream) -> TokenStream {
    let one = |p: &Preparation| {
        let (kernel, weights, to) = (p.kernel.literal(), span(plan, &p.weights), span(plan, &p.prepared));
        quote! { #kernel.prepare(#place.get(#weights), prepared.get_mut(#to)); }
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
    /// Of a call of the user's function the extents of each operand, then those of each result.
    pub extents: Vec<TokenStream>,
}

/// The extents of a call's operands and results.
fn extents(kernel: &Kernel) -> Vec<TokenStream> {
    let Kernel::Custom(call) = kernel else { return Vec::new() };
    call.reads.iter().chain(&call.writes).map(|dims| dims[..].literal()).collect()
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
        extents: extents(&step.kernel),
    }
}

/// The variables that hold what a step borrows, and the statement that borrows them.
struct Borrows {
    statement: TokenStream,
    writes: Vec<TokenStream>,
    reads: Vec<TokenStream>,
}

fn borrow(cx: &Context<'_>, step: &Step, spans: &Spans, inputs: &[Ident], locals: &[String]) -> Borrows {
    let weights = cx.weights;
    // An input keeps its name; what is borrowed from the arena takes another.
    let mut taken: Vec<String> = inputs.iter().map(Ident::to_string).collect();
    taken.extend(["arena", "prepared", "weights", "profile"].map(str::to_owned));
    taken.extend(locals.iter().cloned());
    let mut names = Names::reserving(&taken.iter().map(String::as_str).collect::<Vec<_>>());
    let mut pattern = |prefix: &str, operands: &[(&Operand, &TokenStream)]| {
        let names: Vec<Ident> = operands.iter().map(|_| names.snake(prefix)).collect();
        // An array of one type each, in the order in which the types come.
        let mut arrays: Vec<(String, Vec<&Ident>, Vec<&TokenStream>)> = Vec::new();
        for (name, (operand, span)) in names.iter().zip(operands) {
            let ty = types::stored(operand.dtype).to_string();
            match arrays.iter_mut().find(|(t, ..)| *t == ty) {
                Some((_, names, spans)) => {
                    names.push(name);
                    spans.push(*span);
                }
                None => arrays.push((ty, vec![name], vec![*span])),
            }
        }
        let patterns = arrays.iter().map(|(_, names, _)| quote!([#(#names),*]));
        let lists = arrays.iter().map(|(.., spans)| quote!([#(#spans),*]));
        let (pattern, list) = match arrays.len() {
            0 => (quote!([]), quote!(rt::NOTHING)),
            1 => (quote!(#(#patterns)*), quote!(#(#lists)*)),
            _ => (quote!((#(#patterns),*)), quote!((#(#lists),*))),
        };
        (names, pattern, list)
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
            Root::Weights => quote!(#weights.get(#span)),
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
    cx: &Context<'_>,
    step: &Step,
    spans: &Spans,
    kernel: &TokenStream,
    inputs: &[Ident],
    locals: &[String],
) -> TokenStream {
    let Borrows { statement, writes, reads } = borrow(cx, step, spans, inputs, locals);
    let call = match &step.kernel {
        Kernel::Custom(k) => {
            custom(step, cx.functions.get(&*k.operator), kernel, &spans.extents, writes, reads)
        }
        _ => call(step, kernel, writes, reads),
    };
    quote! { #statement #call }
}

/// The call of a function of the user's program: operands, attributes, results.
fn custom(
    step: &Step,
    function: Option<&&TokenStream>,
    name: &TokenStream,
    extents: &[TokenStream],
    writes: Vec<TokenStream>,
    reads: Vec<TokenStream>,
) -> TokenStream {
    let mut extents = extents.iter();
    let reads: Vec<_> = (step.reads.iter().flatten().zip(reads).zip(&mut extents))
        .map(|((o, x), dims)| {
            let x = if o.dtype == DType::Bool { quote!(rt::bools(#x)) } else { x };
            quote!(rt::view(#x, #dims))
        })
        .collect();
    let writes = step.writes.iter().zip(writes).zip(extents).map(|((o, y), dims)| {
        let y = if o.dtype == DType::Bool { quote!(rt::bools_mut(#y)) } else { y };
        quote!(rt::view_mut(#y, #dims))
    });
    quote! { #function(#(#reads,)* &#name, #(#writes),*); }
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
        Custom => Attributes,
        Found => Attributes,
        If => Attributes,
        Loop => Attributes,
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
        ConvPool => conv::ConvPool,
        Separable => conv::Separable,
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
