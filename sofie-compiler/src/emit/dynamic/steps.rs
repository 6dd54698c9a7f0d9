//! The steps of a dynamic session: spans that depend on the extents, descriptors that are set when they change.

use super::Emitter;
use crate::emit::extents::Stands;
use crate::emit::literal::map_places;
use crate::emit::names::Names;
use crate::emit::steps::{
    self, RESERVED, Spans, assignments, constant, constant_name, descriptor, statement, timed,
};
use crate::emit::types;
use crate::ir::Dim;
use crate::plan::family::{Numbers, StepIndex, scratch_of};
use crate::plan::{Kernel, Operand, Root, Step};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};
use sofie_infer_runtime::map::MapSpec;

impl Emitter<'_> {
    /// The first byte of an operand in its root.
    pub(super) fn start(&self, o: &Operand, at: usize) -> TokenStream {
        let w = self.writer();
        let bytes = self.family.numbers[at].mul(&o.dtype.size().into()).unwrap_or(Dim::Fixed(0));
        match o.root {
            Root::Buffer(b) if self.is_open() => {
                let b = Literal::usize_unsuffixed(b);
                if bytes.is(0) {
                    return quote!(layout.at[#b]);
                }
                let bytes = w.count(&bytes);
                quote!(layout.at[#b] + #bytes)
            }
            Root::Buffer(b) => {
                let base = self.plan.buffers.get(b).map_or(0, |b| b.offset);
                w.count(&bytes.add(&base.into()).unwrap_or(Dim::Fixed(0)))
            }
            _ => w.count(&bytes),
        }
    }

    /// The number of elements of an operand, none where it has an axis of none.
    pub(super) fn len(&self, o: &Operand, at: usize, len: &Dim) -> TokenStream {
        let w = self.writer();
        let rank = o.holds.as_ref().map_or(0, |(_, layout)| layout.dims.len());
        let mut empty: Vec<&Dim> = Vec::new();
        for d in &self.family.numbers[at + 2..at + 2 + rank] {
            // What is a multiple of the extent is 0 with it.
            let vanishes = d.fixed().is_some() || d.range().0 > 0 || len.exact_div(d).is_some();
            if !vanishes && !empty.contains(&d) {
                empty.push(d);
            }
        }
        let count = w.count(len);
        if empty.is_empty() {
            return count;
        }
        let empty = empty.iter().map(|d| w.count(d));
        quote!(if #(#empty == 0)||* { 0 } else { #count })
    }

    /// The span of an operand in the arena or the weights; `len` where another number of elements is meant.
    pub(super) fn span(&self, o: &Operand, at: usize, len: Option<&Dim>) -> TokenStream {
        let (start, ty) = (self.start(o, at), types::stored(o.dtype));
        let own = &self.family.numbers[at + 1];
        let len = len.map_or_else(|| self.len(o, at, own), |n| self.writer().count(n));
        quote!(rt::span::<#ty>(#start, #len))
    }

    pub(super) fn steps(&self) -> TokenStream {
        let (family, w) = (self.family, self.writer());
        let named = self.names();
        let inputs: Vec<Ident> = self.inputs.iter().map(|t| t.name.clone()).collect();
        let locals: Vec<String> = self.variables.values().map(Ident::to_string).collect();
        let others = ["steps", "dims", "layout", "started"].map(str::to_owned);
        let locals: Vec<String> = locals.into_iter().chain(others).collect();
        let place = self.cx.weights.place();
        let for_steps =
            steps::Context { weights: &place, profile: self.cx.profile, functions: &self.cx.functions };
        let (mut constants, mut body, mut sets) =
            (TokenStream::new(), TokenStream::new(), TokenStream::new());
        let (mut declared, mut made) = (TokenStream::new(), TokenStream::new());
        let mut waiting = vec![TokenStream::new(); self.found.len()];
        let taken: Vec<String> = named.iter().map(|(name, _)| name.to_string()).collect();
        let mut inner = Names::reserving(
            &taken.iter().map(String::as_str).chain(RESERVED.iter().copied()).collect::<Vec<_>>(),
        );
        let steps = self.plan.steps.iter().zip(&family.index.steps).zip(named);
        for (i, ((step, index), (name, field))) in steps.enumerate() {
            if matches!(step.kernel, Kernel::Found(_)) {
                let operand = step.reads.first().and_then(Option::as_ref);
                let operand = operand.zip(index.reads.first().copied().flatten());
                let statement = self.find_extent(i, operand, &inputs, &place);
                body.extend(if self.cx.profile { timed(i, statement, None) } else { statement });
                continue;
            }
            if !step.kernel.bodies().is_empty() {
                // Its extents are fixed, and so are the places of what it works on.
                let statement = steps::one(&for_steps, &self.plan, step, &inputs, &mut inner, &mut constants);
                body.extend(if self.cx.profile { timed(i, statement, None) } else { statement });
                continue;
            }
            constants.extend(constant(step, &name));
            let numbers = &family.numbers[index.kernel.clone()];
            let mut kernel = name.to_token_stream();
            if let Some(field) = field {
                let (ty, _) = descriptor(&step.kernel);
                declared.extend(quote!(#field: #ty,));
                made.extend(quote!(#field: #name.clone(),));
                let set = self.set(i, &field);
                match self.waits_for(numbers) {
                    Some(k) => waiting[k].extend(set),
                    None => sets.extend(set),
                }
                kernel = quote!(steps.#field);
            }
            let scratch = scratch_of(step);
            let write = |(j, o): (usize, &Operand)| match scratch {
                Some(b) if j + 1 == step.writes.len() && self.is_open() => {
                    let (b, size) = (Literal::usize_unsuffixed(b), Literal::usize_unsuffixed(o.dtype.size()));
                    let (start, ty) = (self.start(o, index.writes[j]), types::stored(o.dtype));
                    quote!(rt::span::<#ty>(#start, layout.room[#b] / #size))
                }
                Some(b) if j + 1 == step.writes.len() => {
                    let len = Dim::from(self.plan.buffers[b].bytes / o.dtype.size());
                    self.span(o, index.writes[j], Some(&len))
                }
                _ => self.span(o, index.writes[j], None),
            };
            let read = |(o, at): (&Option<Operand>, &Option<usize>)| {
                let (Some(o), Some(at)) = (o, at) else { return TokenStream::new() };
                let Root::Input(i) = o.root else { return self.span(o, *at, None) };
                let (input, start, len) = (&inputs[i], &family.numbers[*at], &family.numbers[at + 1]);
                if start.is(0) && *len == self.inputs[i].len() {
                    return quote!(#input);
                }
                let (start, len) = (w.count(start), self.len(o, *at, len));
                quote!(rt::part(#input, #start, #len))
            };
            let spans = Spans {
                writes: step.writes.iter().enumerate().map(write).collect(),
                reads: step.reads.iter().zip(&index.reads).map(read).collect(),
                extents: self.extents_of(step, numbers),
            };
            let statement = statement(&for_steps, step, &spans, &kernel, &inputs, &locals);
            body.extend(match self.cx.profile {
                true => timed(i, statement, Some(w.count(&family.flop[i]))),
                false => statement,
            });
        }
        let params = self.inputs.iter().map(|t| {
            let (name, ty) = (&t.name, types::stored(t.port.dtype));
            quote!(#name: &[#ty])
        });
        let extra_params = self.extras.parameters();
        let (mutable, last) = match self.found.len() {
            0 => (None, None),
            n => {
                let n = Literal::usize_unsuffixed(n);
                declared.extend(quote!(found: [usize; #n],));
                made.extend(quote!(found: [0; #n],));
                (self.steps_mutable(), Some(quote!(Ok(()))))
            }
        };
        let returned = last.is_some().then(|| quote!(-> Result<(), rt::ExtentError>));
        let found = self.take_found(quote!(self.found));
        let apart = self.take_apart(quote!(dims));
        let setters = self.found.iter().zip(waiting).map(|(f, waiting)| {
            let set = &f.set;
            quote! {
                fn #set(&mut self, dims: Dims) {
                    #apart
                    #found
                    #waiting
                }
            }
        });
        let setters: TokenStream = setters.collect();
        quote! {
            #constants

            /// The kernels that depend on the extents, at those of the last run. Above they stand at the largest.
            #[derive(Clone, Debug)]
            struct Steps {
                #declared
            }

            impl Steps {
                fn new() -> Steps {
                    Steps { #made }
                }

                fn set(&mut self, dims: Dims) {
                    #apart
                    #sets
                }

                #setters
            }

            /// All steps of the network.
            fn compute(arena: &mut rt::Arena, #extra_params steps: &#mutable Steps, dims: Dims, #(#params),*) #returned {
                #apart
                #body
                #last
            }
        }
    }

    /// For each step the name of its descriptor, and of its field in a session where it depends on the extents.
    pub(super) fn names(&self) -> Vec<(Ident, Option<Ident>)> {
        let mut names = Names::reserving(RESERVED);
        let mut fields = Names::default();
        let one = |(step, index): (&Step, &StepIndex)| {
            let name = names.constant(&constant_name(step));
            let numbers = &self.family.numbers[index.kernel.clone()];
            // What the user's function is given stands in the statement.
            let is_own = !matches!(step.kernel, Kernel::Custom(_) | Kernel::Found(_));
            let depends = is_own && numbers.iter().any(|d| d.fixed().is_none());
            let field = depends.then(|| fields.snake(&name.to_string().to_lowercase()));
            (name, field)
        };
        self.plan.steps.iter().zip(&self.family.index.steps).map(one).collect()
    }

    /// The extents of the operands and results of a call of the user's function.
    fn extents_of(&self, step: &Step, numbers: &[Dim]) -> Vec<TokenStream> {
        let Kernel::Custom(call) = &step.kernel else { return Vec::new() };
        let mut numbers = numbers.iter();
        let list = |dims: &Vec<usize>| {
            let dims = numbers.by_ref().take(dims.len()).map(|d| self.writer().count(d));
            quote!([#(#dims),*])
        };
        call.reads.iter().chain(&call.writes).map(list).collect()
    }

    /// The statements that give a step's descriptor the numbers that depend on the extents.
    pub(super) fn set(&self, step: usize, field: &Ident) -> TokenStream {
        let w = self.writer();
        let mut stands = Stands::default();
        let mut numbers = self.family.numbers[self.family.index.steps[step].kernel.clone()].iter();
        let mut stand = |kind, n| numbers.next().map_or(n, |d| stands.for_extent(kind, d));
        match &self.plan.steps[step].kernel {
            Kernel::Map(map) => {
                let mut spec: MapSpec = map.spec().clone();
                spec.numbers(&mut stand);
                let places = stands.put_in(map_places(&spec), &w).unwrap_or_default();
                quote!(self.#field.place(#places);)
            }
            kernel => {
                let mut kernel = kernel.clone();
                kernel.numbers(&mut stand);
                let all = assignments(&kernel, &quote!(self.#field));
                let changed = all.into_iter().filter_map(|(place, value)| {
                    let value = stands.put_in(value, &w)?;
                    Some(quote!(#place = #value;))
                });
                changed.collect()
            }
        }
    }
}
