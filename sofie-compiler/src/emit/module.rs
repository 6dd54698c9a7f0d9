//! The module around the steps: constants, `Session`, `Inputs`, `Outputs`, and what tools see of them.

use super::construct::{Making, constructors};
use super::counted::{Counted, compact, counted};
use super::extras::Extras;
use super::many::{entered, has_many, infer_many};
use super::names::Names;
use super::profile;
use super::steps::{self, Steps};
use super::types;
use super::weights::{WeightsIn, packed};
use crate::plan::{Plan, Port};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use sofie_infer_runtime::DType;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the module needs to know beside the plan.
pub struct Context<'a> {
    /// The facade's path.
    pub krate: &'a TokenStream,
    /// Attributes and documentation of the module, as the user wrote them.
    pub attributes: &'a TokenStream,
    /// The module's visibility.
    pub visibility: &'a TokenStream,
    /// The module's name.
    pub name: &'a Ident,
    /// The model's path, as the user wrote it.
    pub path: &'a str,
    /// Files that the expansion depends on.
    pub files: &'a [PathBuf],
    /// The functions of the calling program by the operators that they compute.
    pub functions: BTreeMap<&'a str, &'a TokenStream>,
    /// A `#[test]` to put into the module.
    pub test: TokenStream,
    /// Where the packed weights are.
    pub weights: &'a WeightsIn,
    /// Whether sessions take the time of each step.
    pub profile: bool,
}

/// A tensor of the session's interface.
pub struct Tensor<'a> {
    pub port: &'a Port,
    pub name: Ident,
    pub ty: TokenStream,
}

fn tensors<'a>(ports: impl Iterator<Item = &'a Port>, reserved: &[&str]) -> Vec<Tensor<'a>> {
    let mut names = Names::reserving(reserved);
    ports
        .map(|port| Tensor { name: names.snake(&port.name), ty: types::nested(port.dtype, &port.dims), port })
        .collect()
}

/// The documentation of one tensor.
fn tensor_doc(t: &Tensor<'_>) -> String {
    format!(" `{}`: {}.", t.port.name, types::shown(t.port.dtype, &t.port.dims))
}

/// The module of a plan.
pub fn module(cx: &Context<'_>, plan: &Plan) -> TokenStream {
    let extras = Extras::new(plan, cx.weights, cx.profile);
    let mut reserved = extras.reserved();
    reserved.extend(["arena", "cutter", "session_arena", "started"].map(str::to_owned));
    let reserved: Vec<&str> = reserved.iter().map(String::as_str).collect();
    let inputs = tensors(plan.inputs.iter(), &reserved);
    let outputs = tensors(plan.outputs.iter().map(|(port, _)| port), &[]);
    let counted = counted(plan, outputs.iter().map(|t| &t.name));
    let shown = |ports: &mut dyn Iterator<Item = &Port>| -> Vec<(String, String)> {
        ports.map(|p| (p.name.clone(), types::shown(p.dtype, &p.dims))).collect()
    };
    let ins = shown(&mut plan.inputs.iter());
    let mut outs = shown(&mut plan.outputs.iter().map(|(p, _)| p));
    for ((_, text), t) in outs.iter_mut().zip(&counted) {
        if let Some(t) = t {
            *text = t.tensor.shown();
        }
    }
    let header = header(cx, plan, &ins, &outs, Some(plan.arena_bytes));
    let constants = constants(cx, plan, true);
    let packed = packed(cx.weights, plan, None);
    let flat: Vec<Ident> = inputs.iter().map(|t| t.name.clone()).collect();
    let place = cx.weights.place();
    let for_steps = steps::Context { weights: &place, profile: cx.profile, functions: &cx.functions };
    let Steps { constants: descriptors, body } = steps::steps(&for_steps, plan, &flat);
    let body = entered(plan, body);
    let session = session(cx, plan, &extras, &inputs, &outputs, &counted);
    let types = interface(plan, &extras, &inputs, &outputs, &counted);
    let profile = cx.profile.then(|| profile::table(plan));
    let dynamic = dynamic(plan, &inputs, &counted);
    let compact = compact(&counted);
    let compute_params = inputs.iter().map(|t| {
        let (name, ty) = (&t.name, types::stored(t.port.dtype));
        quote!(#name: &[#ty])
    });
    let extra_params = extras.parameters();
    let arena = if plan.steps.is_empty() { quote!(_arena) } else { quote!(arena) };
    let content = quote! {
        #constants
        #packed
        #types
        #session
        #dynamic
        #descriptors
        #profile

        /// All steps of the network.
        fn compute(#arena: &mut rt::Arena, #extra_params #(#compute_params),*) {
            #body
            #compact
        }
    };
    module_of(cx, header, content)
}

/// The module around its content.
pub fn module_of(cx: &Context<'_>, header: TokenStream, content: TokenStream) -> TokenStream {
    let Context { krate, attributes, visibility, name, test, .. } = cx;
    let tracked = cx.files.iter().map(|f| {
        let file = f.display().to_string();
        quote!(
            const _: &[u8] = include_bytes!(#file);
        )
    });
    quote! {
        #header
        #attributes
        #[allow(dead_code, unused_parens, unused_qualifications, unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
        #visibility mod #name {
            use #krate::rt;

            #(#tracked)*
            #content
            #test
        }
    }
}

/// The module's documentation; `inputs` and `outputs` by name with their types.
pub fn header(
    cx: &Context<'_>,
    plan: &Plan,
    inputs: &[(String, String)],
    outputs: &[(String, String)],
    memory: Option<usize>,
) -> TokenStream {
    let user_docs = cx.attributes.to_string().contains("doc");
    let line = format!(
        " {} compiled from `{}`: {} of weights, {}.",
        if user_docs { "\n\n A network" } else { "A network" },
        cx.path,
        types::size(plan.weights.bytes().len()),
        memory.map_or_else(
            || "memory for what a session is made for".into(),
            |n| types::size(n) + " of memory"
        ),
    );
    let list = |title: &str, tensors: &[(String, String)]| {
        let mut text = format!("\n\n {title}:");
        for (name, ty) in tensors {
            text += &format!("\n - `{name}`: {ty}");
        }
        text
    };
    let text = format!("{line}{}{}", list("Inputs", inputs), list("Outputs", outputs));
    quote!(#[doc = #text])
}

/// What is known of a module while compiling; `memory` where each session has as much as the plan's.
pub fn constants(cx: &Context<'_>, plan: &Plan, memory: bool) -> TokenStream {
    let value = |n: usize| Literal::usize_unsuffixed(n);
    let (arena, bound) = (value(plan.arena_bytes), value(plan.bound_bytes));
    let (scratch, weights) = (value(plan.scratch_bytes), value(plan.weights.bytes().len()));
    let weights_doc = match cx.weights {
        WeightsIn::External => " Bytes of packed weights, which are read from a file.",
        _ => " Bytes of packed weights in the program's read-only memory.",
    };
    let info = |ports: &mut dyn Iterator<Item = &Port>| {
        let items = ports.map(|p| {
            let (name, dtype) = (&p.name, format_ident!("{}", format!("{:?}", p.dtype)));
            let dims = p.dims.iter().map(|&n| Literal::usize_unsuffixed(n));
            quote!(rt::TensorInfo { name: #name, dtype: rt::DType::#dtype, shape: &[#(#dims),*] })
        });
        let items: Vec<_> = items.collect();
        quote!(&[#(#items),*])
    };
    let inputs = info(&mut plan.inputs.iter());
    let outputs = info(&mut plan.outputs.iter().map(|(p, _)| p));
    let memory = memory.then(|| {
        quote! {
            /// Bytes of memory that a session computes in.
            pub const ARENA_BYTES: usize = #arena;
            /// Bytes that no arena can go below: the most that lives at one step, kernels' scratch apart.
            pub const ARENA_BOUND_BYTES: usize = #bound;
            /// Bytes of the arena that are there for kernels' scratch.
            pub const SCRATCH_BYTES: usize = #scratch;
        }
    });
    quote! {
        #memory
        #[doc = #weights_doc]
        pub const WEIGHT_BYTES: usize = #weights;
        /// Names, types and shapes of the inputs.
        pub const INPUTS: &[rt::TensorInfo] = #inputs;
        /// Names, types and shapes of the outputs.
        pub const OUTPUTS: &[rt::TensorInfo] = #outputs;
    }
}

/// Byte offsets of the inputs in the block that `Session::inputs` hands out, and its size.
pub fn input_offsets(plan: &Plan) -> (Vec<usize>, usize) {
    let mut at = 0usize;
    let mut offsets = Vec::new();
    for p in &plan.inputs {
        offsets.push(at);
        at += (p.dims.iter().product::<usize>() * p.dtype.size()).next_multiple_of(64);
    }
    (offsets, at)
}

fn span(dtype: DType, offset: usize, dims: &[usize]) -> TokenStream {
    let (ty, offset) = (types::stored(dtype), Literal::usize_unsuffixed(offset));
    let len = Literal::usize_unsuffixed(dims.iter().product());
    quote!(rt::span::<#ty>(#offset, #len))
}

fn session(
    cx: &Context<'_>,
    plan: &Plan,
    extras: &Extras,
    inputs: &[Tensor<'_>],
    outputs: &[Tensor<'_>],
    counted: &[Option<Counted>],
) -> TokenStream {
    let params = inputs.iter().map(|t| {
        let (name, ty) = (&t.name, &t.ty);
        quote!(#name: &#ty)
    });
    let flat = inputs.iter().map(|t| {
        let name = &t.name;
        if t.port.dtype == DType::Bool {
            quote!(rt::bool_bytes(rt::flat(#name)))
        } else {
            quote!(rt::flat(#name))
        }
    });
    let docs = inputs.iter().map(|t| format!(" - `{}`:{}", t.name, tensor_doc(t)));
    let docs = docs.collect::<Vec<_>>().join("\n");
    let infer_doc = format!(
        " Runs the network on one set of inputs; nothing is copied or allocated.\n\n{docs}\n\n The outputs stay valid until the next run."
    );
    let fields: Vec<&Ident> = inputs.iter().map(|t| &t.name).collect();
    let cuts = inputs.iter().map(|t| {
        let name = &t.name;
        let ty = types::stored(t.port.dtype);
        let len = Literal::usize_unsuffixed(t.port.dims.iter().product());
        let nested = if t.port.dtype == DType::Bool {
            quote!(rt::nested_mut(rt::bools_mut(#name)))
        } else {
            quote!(rt::nested_mut(#name))
        };
        quote! {
            let #name = cutter.cut::<#ty>(#len);
            let #name = #nested;
        }
    });
    let (fields_of_extras, arguments, lend) = (extras.fields(), extras.arguments(), extras.lend());
    let constructors = constructors(cx, plan, extras, &Making::fixed(plan));
    let profile = cx.profile.then(profile::methods);
    let make_outputs = make_outputs(plan, outputs, counted);
    let infer_many = has_many(plan).then(|| infer_many(plan, extras, cx.profile, inputs, outputs));
    let arenas = has_many(plan).then(|| quote!(arenas: rt::parallel::Arenas,));
    let returned = returned(plan, quote!('_));
    quote! {
        /// A network with the memory that it computes in.
        #[derive(Clone, Debug)]
        pub struct Session {
            arena: rt::Arena,
            inputs: rt::Arena,
            #arenas
            #fields_of_extras
        }

        #constructors

        impl Session {
            #[doc = #infer_doc]
            pub fn infer(&mut self, #(#params),*) -> #returned {
                self::compute(&mut self.arena, #arguments #(#flat),*);
                self::outputs(&self.arena)
            }

            #infer_many

            /// The session's own inputs, to be filled in place; they keep what they held.
            pub fn inputs(&mut self) -> Inputs<'_> {
                let mut cutter = self.inputs.cutter();
                #(#cuts)*
                Inputs { #(#fields,)* session_arena: &mut self.arena, #lend }
            }

            #profile
        }

        #make_outputs
    }
}

/// What a run returns: outputs, or where an input decides a shape, perhaps an error.
fn returned(plan: &Plan, life: TokenStream) -> TokenStream {
    match plan.check {
        Some(_) => quote!(Result<Outputs<#life>, rt::ShapeError>),
        None => quote!(Outputs<#life>),
    }
}

fn make_outputs(plan: &Plan, outputs: &[Tensor<'_>], counted: &[Option<Counted>]) -> TokenStream {
    let fields = outputs.iter().zip(&plan.outputs).zip(counted);
    let fields = fields.map(|((t, (port, operand)), counted)| {
        let name = &t.name;
        let at = plan.operand_offset(operand);
        if let Some(t) = counted {
            let made = t.made();
            return quote!(#name: #made);
        }
        let span = span(port.dtype, at, &port.dims);
        if port.dtype == DType::Bool {
            quote!(#name: rt::nested(rt::bools(arena.get(#span))))
        } else {
            quote!(#name: rt::nested(arena.get(#span)))
        }
    });
    let returned = returned(plan, quote!('_));
    let made = match &plan.check {
        None => quote!(Outputs { #(#fields),* }),
        Some(operand) => {
            let span = span(DType::U8, plan.operand_offset(operand), &[1]);
            quote! {
                match arena.get(#span) {
                    [0] => Err(rt::ShapeError),
                    _ => Ok(Outputs { #(#fields),* }),
                }
            }
        }
    };
    quote! {
        fn outputs(arena: &rt::Arena) -> #returned {
            #made
        }
    }
}

fn interface(
    plan: &Plan,
    extras: &Extras,
    inputs: &[Tensor<'_>],
    outputs: &[Tensor<'_>],
    counted: &[Option<Counted>],
) -> TokenStream {
    let field = |t: &Tensor<'_>, reference: TokenStream| {
        let (name, ty, doc) = (&t.name, &t.ty, tensor_doc(t));
        quote! { #[doc = #doc] pub #name: #reference #ty, }
    };
    let input_fields = inputs.iter().map(|t| field(t, quote!(&'s mut)));
    let output_fields = outputs.iter().zip(counted).map(|(t, counted)| match counted {
        None => field(t, quote!(&'s)),
        Some(t) => {
            let t = &t.tensor;
            let (name, ty, doc) = (&t.name, t.shared(Some(quote!('s))), t.doc());
            quote! { #[doc = #doc] pub #name: #ty, }
        }
    });
    let flat = inputs.iter().map(|t| {
        let name = &t.name;
        if t.port.dtype == DType::Bool {
            quote!(rt::bool_bytes(rt::flat(self.#name)))
        } else {
            quote!(rt::flat(self.#name))
        }
    });
    let returned = returned(plan, quote!('s));
    let (borrows, borrowed) = (extras.borrows(), extras.borrowed_arguments());
    quote! {
        /// The network's outputs, borrowed from the session until its next run.
        #[derive(Clone, Copy, Debug)]
        pub struct Outputs<'s> {
            #(#output_fields)*
        }

        /// The session's own inputs: fill them, then [`run`](Inputs::run).
        #[derive(Debug)]
        pub struct Inputs<'s> {
            #(#input_fields)*
            session_arena: &'s mut rt::Arena,
            #borrows
        }

        impl<'s> Inputs<'s> {
            /// Runs the network on what the inputs hold.
            pub fn run(self) -> #returned {
                compute(self.session_arena, #borrowed #(#flat),*);
                outputs(self.session_arena)
            }
        }
    }
}

fn dynamic(plan: &Plan, inputs: &[Tensor<'_>], counted: &[Option<Counted>]) -> TokenStream {
    let run = match plan.check {
        None => quote!(self.inputs().run();),
        Some(_) => quote! {
            if let Err(error) = self.inputs().run() {
                panic!("{error}");
            }
        },
    };
    let (offsets, _) = input_offsets(plan);
    let input_arms = inputs.iter().zip(&offsets).enumerate().map(|(i, (t, &at))| {
        let bytes = span(DType::U8, at, &[t.port.dims.iter().product::<usize>() * t.port.dtype.size()]);
        let i = Literal::usize_unsuffixed(i);
        quote!(#i => self.inputs.get_mut(#bytes),)
    });
    let output_arms = plan.outputs.iter().zip(counted).enumerate().map(|(i, ((port, operand), counted))| {
        if let Some(t) = counted {
            let (i, bytes) = (Literal::usize_unsuffixed(i), t.bytes());
            return quote!(#i => #bytes);
        }
        let len = port.dims.iter().product::<usize>() * port.dtype.size();
        let bytes = span(DType::U8, plan.operand_offset(operand), &[len]);
        let i = Literal::usize_unsuffixed(i);
        quote!(#i => self.arena.get(#bytes),)
    });
    let extent_arms = plan.extents.iter().map(|(i, axis, operand)| {
        let span = span(DType::I64, plan.operand_offset(operand), &[1]);
        let (i, axis) = (Literal::usize_unsuffixed(*i), Literal::usize_unsuffixed(*axis));
        quote!((#i, #axis) => self.arena.get(#span)[0] as usize,)
    });
    let extent = (!plan.extents.is_empty()).then(|| {
        quote! {
            fn output_extent(&self, i: usize, axis: usize) -> usize {
                match (i, axis) {
                    #(#extent_arms)*
                    _ => OUTPUTS[i].shape[axis],
                }
            }
        }
    });
    quote! {
        impl rt::DynSession for Session {
            fn input_info(&self) -> &'static [rt::TensorInfo] {
                INPUTS
            }

            fn output_info(&self) -> &'static [rt::TensorInfo] {
                OUTPUTS
            }

            fn input_bytes(&mut self, i: usize) -> &mut [u8] {
                match i {
                    #(#input_arms)*
                    _ => panic!("the model has no input {i}"),
                }
            }

            fn run(&mut self) {
                #run
            }

            #extent

            fn output_bytes(&self, i: usize) -> &[u8] {
                match i {
                    #(#output_arms)*
                    _ => panic!("the model has no output {i}"),
                }
            }
        }
    }
}
