//! The module of a network with free extents: as that of a fixed one, but what depends on the extents is computed when
//! they change. Descriptors live in the session, arena and input block have the sizes of the bounds.

mod found;
mod layout;
mod outputs;
mod seen;
mod steps;
mod tensor;

use super::construct::{Making, constructors};
use super::extents::{Variables, Writer};
use super::extras::Extras;
use super::module::{Context, constants, header, module_of};
use super::names::Names;
use super::profile;
use super::types;
use super::weights::packed;
use crate::ir::{Dim, Symbol};
use crate::plan::family::Family;
use crate::plan::{Plan, Port};
use found::Found;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};
use std::sync::Arc;
use tensor::Form;
pub use tensor::Tensor;

/// Variables of the functions beside the inputs and the extents.
const RESERVED: [&str; 9] = [
    "arena",
    "cutter",
    "dims",
    "steps",
    "shapes",
    "started",
    "session_arena",
    "session_steps",
    "session_dims",
];
/// Those of the function that lays out memory.
const RESERVED_FOR_LAYOUT: [&str; 8] =
    ["at", "room", "least", "most", "inputs", "input_room", "arena_bytes", "input_bytes"];

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
    /// What a session holds beside its memory and lends to the steps.
    extras: Extras,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    free: Vec<Free>,
    found: Vec<Found>,
    variables: Variables,
}

/// The module of a family of plans.
pub fn dynamic(cx: &Context<'_>, family: &Family, plan: Plan) -> TokenStream {
    let e = Emitter::new(cx, family, plan);
    let shown = |tensors: &[Tensor]| -> Vec<(String, String)> {
        tensors.iter().map(|t| (t.port.name.clone(), t.shown())).collect()
    };
    let memory = (!e.is_open()).then_some(e.plan.arena_bytes);
    let header = header(cx, &e.plan, &shown(&e.inputs), &shown(&e.outputs), memory);
    let constants = constants(cx, &e.bounds(), !e.is_open());
    let packed = packed(cx.weights, &e.plan, Some(family));
    let profile = cx.profile.then(|| profile::table(&e.plan));
    let (dims, interface, session, seen) = (e.dims(), e.interface(), e.session(), e.seen());
    let layout = e.is_open().then(|| e.layout());
    let steps = e.steps();
    module_of(
        cx,
        header,
        quote! { #constants #packed #dims #interface #session #seen #layout #steps #profile },
    )
}

impl<'a> Emitter<'a> {
    fn new(cx: &'a Context<'a>, family: &'a Family, plan: Plan) -> Emitter<'a> {
        let rooms: Vec<(Arc<str>, Dim)> =
            family.found.iter().map(|f| (f.symbol.name.clone(), f.room.clone())).collect();
        let tensors = |ports: Vec<&Port>, first: &[usize], reserved: &[&str]| -> Vec<Tensor> {
            let mut names = Names::reserving(reserved);
            let one = |(port, at): (&Port, &usize)| {
                let dims = &family.numbers[*at..at + port.dims.len()];
                Tensor::new(port, dims, names.snake(&port.name), &rooms)
            };
            ports.into_iter().zip(first).map(one).collect()
        };
        let extras = Extras::new(&plan, cx.weights, cx.profile);
        let extras = if family.open.is_empty() { extras } else { extras.with_layout() };
        let mut reserved = extras.reserved();
        reserved.extend(RESERVED.map(str::to_owned));
        let reserved: Vec<&str> = reserved.iter().map(String::as_str).collect();
        let index = &family.index;
        let inputs = tensors(plan.inputs.iter().collect(), &index.inputs, &reserved);
        let outputs: Vec<&Port> = plan.outputs.iter().map(|(port, _)| port).collect();
        let at: Vec<usize> =
            outputs.iter().zip(&index.outputs).map(|(port, at)| at - port.dims.len()).collect();
        let outputs = tensors(outputs, &at, &[]);
        let mut fields = Names::default();
        let taken: Vec<String> = inputs.iter().map(|t| t.name.to_string()).collect();
        let taken = taken.iter().map(String::as_str).chain(reserved.clone()).chain(RESERVED_FOR_LAYOUT);
        let taken: Vec<&str> = taken.collect();
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
        let mut methods = Names::reserving(&["set", "new"]);
        let found = family.found.iter().map(|f| Found {
            name: f.symbol.name.clone(),
            least: f.symbol.least,
            room: f.room.clone(),
            step: f.step,
            local: locals.snake(&f.symbol.name),
            set: methods.snake(&format!("found {}", f.symbol.name)),
        });
        let found: Vec<Found> = found.collect();
        let variables = free.iter().map(|f| (f.symbol.name.to_string(), f.local.clone()));
        let variables =
            variables.chain(found.iter().map(|f| (f.name.to_string(), f.local.clone()))).collect();
        Emitter { cx, family, plan, extras, inputs, outputs, free, found, variables }
    }

    /// Whether each session bounds some of the extents.
    fn is_open(&self) -> bool {
        !self.family.open.is_empty()
    }

    fn is_open_extent(&self, symbol: &Symbol) -> bool {
        self.family.open.contains(&symbol.name)
    }

    /// The largest value of an extent, in a method of `Session`.
    fn most(&self, f: &Free) -> TokenStream {
        let field = &f.field;
        match self.is_open_extent(&f.symbol) {
            true => quote!(self.layout.most.#field),
            false => Literal::i64_unsuffixed(f.symbol.most).into_token_stream(),
        }
    }

    /// The plan with the largest extents of inputs and outputs that tools see.
    fn bounds(&self) -> Plan {
        let mut plan = self.plan.clone();
        let ports = plan.inputs.iter_mut().chain(plan.outputs.iter_mut().map(|(port, _)| port));
        for (port, tensor) in ports.zip(self.inputs.iter().chain(&self.outputs)) {
            for (n, d) in port.dims.iter_mut().zip(&tensor.dims) {
                if d.symbols().iter().any(|name| self.family.open.iter().any(|open| **open == **name)) {
                    *n = usize::MAX;
                }
            }
        }
        plan
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
                let Some(f @ Free { symbol, local, first, .. }) = known else {
                    if all || matches!(tensor.form, Form::View(..)) {
                        let expected = self.writer().count(d);
                        tokens.extend(quote!(rt::agree(#name, #axis, #found, #expected)?;));
                    }
                    continue;
                };
                tokens.extend(if *first == (i, a) {
                    let (least, most) = (Literal::i64_unsuffixed(symbol.least), self.most(f));
                    quote!(let #local = rt::extent(#name, #axis, #found, #least, #most)?;)
                } else {
                    quote!(rt::agree(#name, #axis, #found, #local)?;)
                });
            }
        }
        tokens
    }

    /// How the steps are borrowed: what waits for values is set on the way.
    fn steps_mutable(&self) -> Option<TokenStream> {
        (!self.found.is_empty()).then(|| quote!(mut))
    }

    /// What follows a call of `compute`.
    fn fails(&self) -> Option<TokenStream> {
        (!self.found.is_empty()).then(|| quote!(?))
    }

    fn dims(&self) -> TokenStream {
        let fields = self.free.iter().map(|f| {
            let (field, s) = (&f.field, &f.symbol);
            let doc = match self.is_open_extent(s) {
                true => format!(" `{}`, from {} on.", s.name, s.least),
                false => format!(" `{}`, from {} to {}.", s.name, s.least, s.most),
            };
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
            let (field, least) = (&f.field, Literal::i64_unsuffixed(f.symbol.least));
            quote!(rt::extent(#name, #axis, self.#field, #least, most.#field)?;)
        });
        let most_doc = match self.is_open() {
            false => " The largest extents, which memory is planned for.",
            true => " The largest extents that a session can be made for.",
        };
        let visible = (!self.free.is_empty()).then(|| quote!(pub));
        quote! {
            /// The extents that each run decides.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #visible struct Dims {
                #(#fields)*
            }

            impl Dims {
                /// The least extents.
                pub const LEAST: Dims = #least;
                #[doc = #most_doc]
                pub const MOST: Dims = #most;

                fn checked(self, most: Dims) -> Result<Dims, rt::ExtentError> {
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
        let input_fields = self.inputs.iter().map(|t| {
            let (name, ty, doc) = (&t.name, t.exclusive(), t.doc());
            quote!(#[doc = #doc] pub #name: #ty,)
        });
        let flat = self.inputs.iter().map(|t| {
            let name = &t.name;
            t.flat(&quote!(self.#name))
        });
        let (borrows, borrowed) = (self.extras.borrows(), self.extras.borrowed_arguments());
        let borrowed_layout = self.is_open().then(|| quote!(self.session_layout));
        let (mutable, fails) = (self.steps_mutable(), self.fails());
        let clone = if self.outputs.is_empty() { quote!() } else { quote!(Clone, Copy,) };
        quote! {
            /// The network's outputs, borrowed from the session until its next run.
            #[derive(#clone Debug)]
            pub struct Outputs<'s> {
                #(#output_fields)*
            }

            /// The session's own inputs: fill them, then [`run`](Inputs::run).
            #[derive(Debug)]
            pub struct Inputs<'s> {
                #(#input_fields)*
                session_arena: &'s mut rt::Arena,
                #borrows
                session_steps: &'s #mutable Steps,
                session_dims: Dims,
            }

            impl<'s> Inputs<'s> {
                /// Runs the network on what the inputs hold.
                ///
                /// # Errors
                /// When values decide a shape otherwise than the model declares it, or than other values do.
                pub fn run(self) -> Result<Outputs<'s>, rt::ExtentError> {
                    compute(
                        self.session_arena, #borrowed self.session_steps, self.session_dims, #(#flat),*
                    )#fails;
                    outputs(self.session_arena, self.session_steps, self.session_dims, #borrowed_layout)
                }
            }
        }
    }

    fn session(&self) -> TokenStream {
        let params = self.inputs.iter().map(|t| {
            let (name, ty) = (&t.name, t.shared(None));
            quote!(#name: #ty)
        });
        let flat = self.inputs.iter().map(|t| t.flat(&t.name.to_token_stream()));
        let docs = self.inputs.iter().map(|t| format!(" - `{}`:{}", t.name, t.doc()));
        let docs = docs.collect::<Vec<_>>().join("\n");
        let errors = match (self.free.is_empty(), self.found.is_empty()) {
            (true, _) => {
                "When values decide a shape otherwise than the model declares it, or than other values do."
            }
            (_, true) => "When extents disagree or are outside their bounds.",
            _ => "When extents disagree or are outside their bounds, those that values decide among them.",
        };
        let infer_doc = format!(
            " Runs the network on one set of inputs; nothing is copied or allocated.\n\n{docs}\n\n The outputs stay valid until the next run.\n\n # Errors\n {errors}"
        );
        let fields: Vec<&Ident> = self.inputs.iter().map(|t| &t.name).collect();
        let w = self.writer();
        let cuts = self.inputs.iter().enumerate().map(|(i, t)| {
            let (name, ty, len) = (&t.name, types::stored(t.port.dtype), w.count(&t.len()));
            let i = Literal::usize_unsuffixed(i);
            let most = match self.is_open() {
                true => quote!(self.layout.input_room[#i]),
                false => Literal::usize_unsuffixed(t.port.dims.iter().product()).into_token_stream(),
            };
            let over = t.over(quote!(&mut #name[..#len]), &w, true);
            quote! {
                let #name = cutter.cut::<#ty>(#most);
                let #name = #over;
            }
        });
        let Emitter { extras, plan, .. } = self;
        let fields_of_extras = extras.fields();
        let (arguments, lend) = (extras.arguments(), extras.lend());
        let making = match self.is_open() {
            false => Making {
                before: quote! {
                    let mut steps = Steps::new();
                    steps.set(Dims::MOST);
                },
                fields: quote!(steps, dims: Dims::MOST),
                ..Making::fixed(plan)
            },
            true => Making {
                before: quote! {
                    let (layout, arena_bytes, input_bytes) = Layout::new(most);
                    let mut steps = Steps::new();
                    steps.set(most);
                },
                arena: quote!(arena_bytes),
                inputs: quote!(input_bytes),
                fields: quote!(steps, dims: most),
                by_capacity: true,
            },
        };
        let constructors = constructors(self.cx, plan, extras, &making);
        let profile = self.cx.profile.then(profile::methods);
        let (most, layout) = match self.is_open() {
            true => (quote!(self.layout.most), quote!(&self.layout)),
            false => (quote!(Dims::MOST), quote!()),
        };
        let capacity = self.is_open().then(|| {
            quote! {
                /// The largest extents that this session can take.
                pub fn capacity(&self) -> Dims {
                    self.layout.most
                }

                /// Bytes of memory that it computes in.
                pub fn arena_bytes(&self) -> usize {
                    self.arena.bytes()
                }
            }
        });
        let find = self.find(&|i, a| self.inputs[i].extent(a), false);
        let (together, apart) = (self.put_together(), self.take_apart(quote!(dims)));
        let outputs = self.make_outputs();
        let (mutable, fails) = (self.steps_mutable(), self.fails());
        let made = quote! {
            Inputs {
                #(#fields,)*
                session_arena: &mut self.arena,
                #lend
                session_steps: &#mutable self.steps,
                session_dims: self.dims,
            }
        };
        let own_inputs = match self.free.is_empty() {
            false => quote! {
                /// The session's own inputs at these extents, to be filled in place; what they held at the same
                /// extents is still there.
                ///
                /// # Errors
                /// When an extent is outside its bounds.
                pub fn inputs(&mut self, dims: Dims) -> Result<Inputs<'_>, rt::ExtentError> {
                    self.resize(dims.checked(#most)?);
                    #apart
                    let mut cutter = self.inputs.cutter();
                    #(#cuts)*
                    Ok(#made)
                }
            },
            true => quote! {
                /// The session's own inputs, to be filled in place; they keep what they held.
                pub fn inputs(&mut self) -> Inputs<'_> {
                    let mut cutter = self.inputs.cutter();
                    #(#cuts)*
                    #made
                }
            },
        };
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

            #constructors

            impl Session {
                #capacity

                #[doc = #infer_doc]
                pub fn infer(&mut self, #(#params),*) -> Result<Outputs<'_>, rt::ExtentError> {
                    #find
                    self.resize(#together);
                    self::compute(&mut self.arena, #arguments &#mutable self.steps, self.dims, #(#flat),*)#fails;
                    self::outputs(&self.arena, &self.steps, self.dims, #layout)
                }

                #own_inputs

                fn resize(&mut self, dims: Dims) {
                    if self.dims != dims {
                        self.steps.set(dims);
                        self.dims = dims;
                    }
                }

                #profile
            }

            #outputs
        }
    }
}
