//! The module of a network with free extents: as that of a fixed one, but what depends on the extents is computed when
//! they change. Descriptors live in the session, arena and input block have the sizes of the bounds.

mod seen;
mod steps;
mod tensor;

use super::construct::prepare;
use super::extents::{Variables, Writer};
use super::extras::Extras;
use super::module::{Context, constants, extent_field, header, input_offsets, module_of};
use super::names::Names;
use super::types;
use super::weights::{WeightsIn, packed};
use crate::ir::Symbol;
use crate::plan::family::Family;
use crate::plan::{Plan, Port};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};
use tensor::{Form, Tensor};

/// A free extent.
struct Free {
    symbol: Symbol,
    /// The field of `Dims`.
    field: Ident,
    /// The variable in functions.
    local: Ident,
    /// The input and the axis that say it first.
    first: (usize, usize),
}

/// Everything that the parts of the module need.
struct Emitter<'a> {
    cx: &'a Context<'a>,
    family: &'a Family,
    /// The plan at the bounds.
    plan: Plan,
    /// What a session lends to the steps: weights are in the program, and no times are taken.
    extras: Extras,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    free: Vec<Free>,
    variables: Variables,
}

/// The module of a family of plans.
pub fn dynamic(cx: &Context<'_>, family: &Family, plan: Plan) -> TokenStream {
    let e = Emitter::new(cx, family, plan);
    let shown = |tensors: &[Tensor]| -> Vec<(String, String)> {
        tensors.iter().map(|t| (t.port.name.clone(), t.shown())).collect()
    };
    let header = header(cx, &e.plan, &shown(&e.inputs), &shown(&e.outputs));
    let (constants, packed) = (constants(cx, &e.plan), packed(cx.weights, &e.plan));
    let (dims, interface, session, seen) = (e.dims(), e.interface(), e.session(), e.seen());
    let steps = e.steps();
    module_of(cx, header, quote! { #constants #packed #dims #interface #session #seen #steps })
}

impl<'a> Emitter<'a> {
    fn new(cx: &'a Context<'a>, family: &'a Family, plan: Plan) -> Emitter<'a> {
        let tensors = |ports: Vec<&Port>, first: &[usize], reserved: &[&str]| -> Vec<Tensor> {
            let mut names = Names::reserving(reserved);
            let one = |(port, at): (&Port, &usize)| {
                let dims = &family.numbers[*at..at + port.dims.len()];
                Tensor::new(port, dims, names.snake(&port.name))
            };
            ports.into_iter().zip(first).map(one).collect()
        };
        let reserved = [
            "arena",
            "cutter",
            "prepared",
            "dims",
            "steps",
            "shapes",
            "session_arena",
            "session_prepared",
            "session_steps",
            "session_dims",
        ];
        let index = &family.index;
        let inputs = tensors(plan.inputs.iter().collect(), &index.inputs, &reserved);
        let outputs: Vec<&Port> = plan.outputs.iter().map(|(port, _)| port).collect();
        let at: Vec<usize> =
            outputs.iter().zip(&index.outputs).map(|(port, at)| at - port.dims.len()).collect();
        let outputs = tensors(outputs, &at, &[]);
        let mut fields = Names::default();
        let taken: Vec<String> = inputs.iter().map(|t| t.name.to_string()).collect();
        let taken: Vec<&str> = taken.iter().map(String::as_str).chain(reserved).collect();
        let mut locals = Names::reserving(&taken);
        let mut free: Vec<Free> = Vec::new();
        for (i, tensor) in inputs.iter().enumerate() {
            for (axis, d) in tensor.dims.iter().enumerate() {
                let Some(symbol) = d.as_symbol().filter(|s| free.iter().all(|f| f.symbol != **s)) else {
                    continue;
                };
                let (field, local) = (fields.snake(&symbol.name), locals.snake(&symbol.name));
                free.push(Free { symbol: symbol.clone(), field, local, first: (i, axis) });
            }
        }
        let variables = free.iter().map(|f| (f.symbol.name.to_string(), f.local.clone())).collect();
        let extras = Extras::new(&plan, &WeightsIn::Literal, false);
        Emitter { cx, family, plan, extras, inputs, outputs, free, variables }
    }

    fn writer(&self) -> Writer<'_> {
        Writer { variables: &self.variables }
    }

    /// `let Dims { batch, tracks } = dims;`
    fn take_apart(&self, dims: TokenStream) -> TokenStream {
        let fields = self.free.iter().map(|Free { field, local, .. }| {
            if field == local { field.to_token_stream() } else { quote!(#field: #local) }
        });
        quote!(let Dims { #(#fields),* } = #dims;)
    }

    /// `Dims { batch, tracks }` of the variables.
    fn put_together(&self) -> TokenStream {
        let fields = self.free.iter().map(|Free { field, local, .. }| {
            if field == local { field.to_token_stream() } else { quote!(#field: #local) }
        });
        quote!(Dims { #(#fields),* })
    }

    /// The statements that find the free extents among those of the inputs, and check all.
    fn find(&self, extent: &dyn Fn(usize, usize) -> TokenStream, all: bool) -> TokenStream {
        let mut tokens = TokenStream::new();
        for (i, tensor) in self.inputs.iter().enumerate() {
            let name = &tensor.port.name;
            for (a, d) in tensor.dims.iter().enumerate() {
                let (found, axis) = (extent(i, a), Literal::usize_unsuffixed(a));
                let known = self.free.iter().find(|f| d.as_symbol() == Some(&f.symbol));
                let Some(Free { symbol, local, first, .. }) = known else {
                    if all || matches!(tensor.form, Form::View(..)) {
                        let expected = self.writer().count(d);
                        tokens.extend(quote!(rt::agree(#name, #axis, #found, #expected)?;));
                    }
                    continue;
                };
                tokens.extend(if *first == (i, a) {
                    let bounds = [symbol.least, symbol.most].map(Literal::i64_unsuffixed);
                    let [least, most] = bounds;
                    quote!(let #local = rt::extent(#name, #axis, #found, #least, #most)?;)
                } else {
                    quote!(rt::agree(#name, #axis, #found, #local)?;)
                });
            }
        }
        tokens
    }

    fn dims(&self) -> TokenStream {
        let fields = self.free.iter().map(|f| {
            let (field, s) = (&f.field, &f.symbol);
            let doc = format!(" `{}`, from {} to {}.", s.name, s.least, s.most);
            quote!(#[doc = #doc] pub #field: usize,)
        });
        let corner = |of: &dyn Fn(&Symbol) -> i64| -> TokenStream {
            let fields = self.free.iter().map(|f| {
                let (field, n) = (&f.field, Literal::i64_unsuffixed(of(&f.symbol)));
                quote!(#field: #n)
            });
            quote!(Dims { #(#fields),* })
        };
        let (least, most) = (corner(&|s| s.least), corner(&|s| s.most));
        let checks = self.free.iter().map(|f| {
            let (tensor, axis) = f.first;
            let (name, axis) = (&self.inputs[tensor].port.name, Literal::usize_unsuffixed(axis));
            let (field, [least, most]) =
                (&f.field, [f.symbol.least, f.symbol.most].map(Literal::i64_unsuffixed));
            quote!(rt::extent(#name, #axis, self.#field, #least, #most)?;)
        });
        quote! {
            /// The extents that each run decides.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct Dims {
                #(#fields)*
            }

            impl Dims {
                /// The least extents.
                pub const LEAST: Dims = #least;
                /// The largest extents, which memory is planned for.
                pub const MOST: Dims = #most;

                fn checked(self) -> Result<Dims, rt::ExtentError> {
                    #(#checks)*
                    Ok(self)
                }
            }
        }
    }

    fn interface(&self) -> TokenStream {
        let output_fields = self.outputs.iter().map(|t| {
            let (name, ty, doc) = (&t.name, t.shared(Some(quote!('s))), t.doc());
            quote!(#[doc = #doc] pub #name: #ty,)
        });
        let extents = self.plan.extents.iter().map(|(i, axis, _)| {
            let name = self.extent_field(*i, *axis);
            let doc = format!(
                "How many elements `{}` has along axis {axis}; what is behind them means nothing.",
                self.outputs[*i].name
            );
            quote!(#[doc = #doc] pub #name: usize,)
        });
        let input_fields = self.inputs.iter().map(|t| {
            let (name, ty, doc) = (&t.name, t.exclusive(), t.doc());
            quote!(#[doc = #doc] pub #name: #ty,)
        });
        let flat = self.inputs.iter().map(|t| {
            let name = &t.name;
            t.flat(&quote!(self.#name))
        });
        let (borrows, borrowed) = (self.extras.borrows(), self.extras.borrowed_arguments());
        let clone = if self.outputs.is_empty() { quote!() } else { quote!(Clone, Copy,) };
        quote! {
            /// The network's outputs, borrowed from the session until its next run.
            #[derive(#clone Debug)]
            pub struct Outputs<'s> {
                #(#output_fields)*
                #(#extents)*
            }

            /// The session's own inputs: fill them, then [`run`](Inputs::run).
            #[derive(Debug)]
            pub struct Inputs<'s> {
                #(#input_fields)*
                session_arena: &'s mut rt::Arena,
                #borrows
                session_steps: &'s Steps,
                session_dims: Dims,
            }

            impl<'s> Inputs<'s> {
                /// Runs the network on what the inputs hold.
                ///
                /// # Errors
                /// When an input's values decide a shape otherwise than the model declares it.
                pub fn run(self) -> Result<Outputs<'s>, rt::ExtentError> {
                    compute(
                        self.session_arena, #borrowed self.session_steps, self.session_dims, #(#flat),*
                    );
                    outputs(self.session_arena, self.session_dims)
                }
            }
        }
    }

    fn extent_field(&self, output: usize, axis: usize) -> Ident {
        extent_field(self.outputs.get(output).map(|t| &t.name), axis)
    }

    fn session(&self) -> TokenStream {
        let (_, input_bytes) = input_offsets(&self.plan);
        let input_bytes = Literal::usize_unsuffixed(input_bytes);
        let params = self.inputs.iter().map(|t| {
            let (name, ty) = (&t.name, t.shared(None));
            quote!(#name: #ty)
        });
        let flat = self.inputs.iter().map(|t| t.flat(&t.name.to_token_stream()));
        let docs = self.inputs.iter().map(|t| format!(" - `{}`:{}", t.name, t.doc()));
        let docs = docs.collect::<Vec<_>>().join("\n");
        let infer_doc = format!(
            " Runs the network on one set of inputs; nothing is copied or allocated.\n\n{docs}\n\n The outputs stay valid until the next run.\n\n # Errors\n When extents disagree or are outside their bounds."
        );
        let fields: Vec<&Ident> = self.inputs.iter().map(|t| &t.name).collect();
        let w = self.writer();
        let cuts = self.inputs.iter().map(|t| {
            let (name, ty) = (&t.name, types::stored(t.port.dtype));
            let (most, len) = (Literal::usize_unsuffixed(t.port.dims.iter().product()), w.count(&t.len()));
            let over = t.over(quote!(&mut #name[..#len]), &w, true);
            quote! {
                let #name = cutter.cut::<#ty>(#most);
                let #name = #over;
            }
        });
        let Emitter { extras, plan, .. } = self;
        let (fields_of_extras, values) = (extras.fields(), extras.values());
        let (arguments, lend) = (extras.arguments(), extras.lend());
        let prepare = prepare(self.cx, plan);
        let prepared =
            (!plan.preparations.is_empty()).then(|| quote!(let prepared = rt::Arc::new(prepare());));
        let find = self.find(&|i, a| self.inputs[i].extent(a), false);
        let (together, apart) = (self.put_together(), self.take_apart(quote!(dims)));
        let outputs = self.make_outputs();
        let new_doc =
            format!(" A session of `{}` with memory of its own; weights are shared by all.", self.cx.path);
        quote! {
            /// A network with the memory that it computes in.
            #[derive(Clone, Debug)]
            pub struct Session {
                arena: rt::Arena,
                inputs: rt::Arena,
                #fields_of_extras
                steps: Steps,
                dims: Dims,
            }

            impl Session {
                #[doc = #new_doc]
                pub fn new() -> Session {
                    #prepared
                    let mut steps = Steps::new();
                    steps.set(Dims::MOST);
                    Session {
                        arena: rt::Arena::new(ARENA_BYTES),
                        inputs: rt::Arena::new(#input_bytes),
                        #values
                        steps,
                        dims: Dims::MOST,
                    }
                }

                #[doc = #infer_doc]
                pub fn infer(&mut self, #(#params),*) -> Result<Outputs<'_>, rt::ExtentError> {
                    #find
                    self.resize(#together);
                    self::compute(&mut self.arena, #arguments &self.steps, self.dims, #(#flat),*);
                    self::outputs(&self.arena, self.dims)
                }

                /// The session's own inputs at these extents, to be filled in place; what they held at the same
                /// extents is still there.
                ///
                /// # Errors
                /// When an extent is outside its bounds.
                pub fn inputs(&mut self, dims: Dims) -> Result<Inputs<'_>, rt::ExtentError> {
                    self.resize(dims.checked()?);
                    #apart
                    let mut cutter = self.inputs.cutter();
                    #(#cuts)*
                    Ok(Inputs {
                        #(#fields,)*
                        session_arena: &mut self.arena,
                        #lend
                        session_steps: &self.steps,
                        session_dims: self.dims,
                    })
                }

                fn resize(&mut self, dims: Dims) {
                    if self.dims != dims {
                        self.steps.set(dims);
                        self.dims = dims;
                    }
                }
            }

            impl Default for Session {
                fn default() -> Session {
                    Session::new()
                }
            }

            #prepare
            #outputs
        }
    }

    fn make_outputs(&self) -> TokenStream {
        let w = self.writer();
        let fields = self.outputs.iter().zip(&self.plan.outputs).zip(&self.family.index.outputs);
        let fields = fields.map(|((t, (_, operand)), at)| {
            let name = &t.name;
            let span = self.span(operand, *at, Some(&t.len()));
            let over = t.over(quote!(arena.get(#span)), &w, false);
            quote!(#name: #over)
        });
        let extents = self.plan.extents.iter().zip(&self.family.index.extents);
        let extents = extents.map(|((i, axis, operand), at)| {
            let (name, span) = (self.extent_field(*i, *axis), self.span(operand, *at, None));
            quote!(#name: arena.get(#span)[0] as usize)
        });
        let made = quote!(Ok(Outputs { #(#fields,)* #(#extents),* }));
        let made = match self.plan.check.as_ref().zip(self.family.index.check) {
            None => made,
            Some((operand, at)) => {
                let span = self.span(operand, at, None);
                quote! {
                    match arena.get(#span) {
                        [0] => Err(rt::ExtentError::Shape(rt::ShapeError)),
                        _ => #made,
                    }
                }
            }
        };
        let apart = self.take_apart(quote!(dims));
        quote! {
            fn outputs(arena: &rt::Arena, dims: Dims) -> Result<Outputs<'_>, rt::ExtentError> {
                #apart
                #made
            }
        }
    }
}
