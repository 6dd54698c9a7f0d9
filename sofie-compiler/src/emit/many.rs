//! `Session::infer_many`: the steps over one event after the other, on as many cores as the runtime takes. Whether it
//! takes more than one is a feature of the runtime; what is written here does not depend on it.

use super::extras::Extras;
use super::module::Tensor;
use super::names::Names;
use super::types;
use crate::plan::{Plan, Port};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use sofie_infer_runtime::{DType, parallel};

/// What a step costs besides its arithmetic, in operations: 20 ns.
const STEP: u64 = 2000;

/// Whether every tensor has one event along its first axis, which events by the slice then do without.
fn has_batch_of_one<'a>(mut ports: impl Iterator<Item = &'a Port>) -> bool {
    ports.all(|p| p.dims.first() == Some(&1))
}

/// The type of one event's tensor.
fn event_type(port: &Port, batch_of_one: bool) -> TokenStream {
    types::nested(port.dtype, &port.dims[usize::from(batch_of_one)..])
}

/// About how many operations an event takes, the bytes that it moves among them.
fn operations(plan: &Plan) -> u64 {
    plan.steps.iter().fold(0u64, |n, step| {
        let cost = step.cost();
        let bytes = cost.read_bytes.saturating_add(cost.written_bytes);
        n.saturating_add(cost.flop).saturating_add(bytes.saturating_mul(2)).saturating_add(STEP)
    })
}

/// Whether the steps of one event are worth sharing out.
fn is_large(plan: &Plan) -> bool {
    let large = plan.steps.iter().map(|step| step.cost().flop).filter(|&flop| flop >= parallel::LEAST);
    large.fold(0, u64::saturating_add) >= parallel::ENTER
}

/// The statements of `compute`, where the runtime may share them out if they are many.
pub fn entered(plan: &Plan, body: TokenStream) -> TokenStream {
    if is_large(plan) { quote!(rt::parallel::enter(|| { #body })) } else { body }
}

/// Whether a plan's sessions have the method: an output whose extents values decide is no array, of which there is one an
/// event.
pub fn has_many(plan: &Plan) -> bool {
    plan.extents.is_empty()
}

/// The method.
pub fn infer_many(
    plan: &Plan,
    extras: &Extras,
    profile: bool,
    inputs: &[Tensor<'_>],
    outputs: &[Tensor<'_>],
) -> TokenStream {
    let rows = has_batch_of_one(inputs.iter().chain(outputs).map(|t| t.port));
    let event_type = |t: &Tensor<'_>| event_type(t.port, rows);
    let mut taken = extras.reserved();
    taken.push("arena".into());
    taken.extend(inputs.iter().map(|t| t.name.to_string()));
    let mut names = Names::reserving(&taken.iter().map(String::as_str).collect::<Vec<_>>());
    // Results: the field of `Outputs`, the parameter, its type.
    let tensors = outputs.iter().map(|t| (&t.name, names.snake(&t.port.name), event_type(t)));
    let results: Vec<(&Ident, Ident, TokenStream)> = tensors.collect();
    let [event, events, arenas, computed] = ["event", "events", "arenas", "computed"].map(|n| names.snake(n));
    let params = inputs.iter().map(|t| {
        let (name, ty) = (&t.name, event_type(t));
        quote!(#name: &[#ty])
    });
    let result_params = results.iter().map(|(_, name, ty)| quote!(#name: &mut [#ty]));
    let lengths = inputs.iter().map(|t| &t.name).chain(results.iter().map(|(_, name, _)| name)).map(|name| {
        let shown = name.to_string();
        let shown = shown.trim_start_matches("r#");
        quote!((#shown, #name.len()))
    });
    let flat = inputs.iter().map(|t| {
        let name = &t.name;
        match t.port.dtype {
            DType::Bool => quote!(rt::bool_bytes(rt::flat(&#name[#event]))),
            _ => quote!(rt::flat(&#name[#event])),
        }
    });
    let copies: TokenStream = results
        .iter()
        .map(|(field, name, _)| quote!(rt::flat_mut(#name).copy_from_slice(rt::flat(#computed.#field));))
        .collect();
    let slices = pairs(results.iter().map(|(_, name, _)| quote!(#name)).collect());
    let copied = match plan.check {
        None => quote! { let #computed = self::outputs(arena); #copies true },
        Some(_) => quote! {
            match self::outputs(arena) {
                Ok(#computed) => { #copies true }
                Err(_) => false,
            }
        },
    };
    let (lent, arguments) = (extras.names(), extras.lent_arguments());
    let of_session = if arenas == "arenas" { quote!(arenas) } else { quote!(arenas: #arenas) };
    // What has no large steps must not seem to, or few events would run in turns.
    let most = if is_large(plan) { u64::MAX } else { parallel::ENTER - 1 };
    let operations = Literal::u64_unsuffixed(operations(plan).min(most));
    let run = quote! { self::compute(arena, #arguments #(#flat),*); #copied };
    let called = if profile {
        // One event after the other, so that the times are those of one thread.
        quote!(rt::parallel::in_turn(#events, #slices, |#event, #slices| { #run }))
    } else {
        quote! {
            rt::parallel::spread(arena, #arenas, #operations, #events, #slices, |arena, #event, #slices| { #run })
        }
    };
    let (returned, body) = match plan.check {
        None => (TokenStream::new(), quote!(#called;)),
        Some(_) => (
            quote!(-> Result<(), rt::parallel::EventError>),
            quote! {
                match #called {
                    None => Ok(()),
                    Some(event) => Err(rt::parallel::EventError { event, error: rt::ShapeError }),
                }
            },
        ),
    };
    let doc = doc(plan, rows);
    quote! {
        #[doc = #doc]
        #[track_caller]
        pub fn infer_many(&mut self, #(#params,)* #(#result_params),*) #returned {
            let Session { arena, #of_session, #lent .. } = self;
            let #events = rt::parallel::events(&[#(#lengths),*]);
            #body
        }
    }
}

/// `(a, (b, c))`.
fn pairs(mut all: Vec<TokenStream>) -> TokenStream {
    let mut out = all.pop().unwrap_or_else(|| quote!(()));
    while let Some(first) = all.pop() {
        out = quote!((#first, #out));
    }
    out
}

fn doc(plan: &Plan, rows: bool) -> String {
    let element =
        if rows { "an element an event, without the first axis of one" } else { "an element an event" };
    let errors = match plan.check {
        None => "",
        Some(_) => {
            "\n\n # Errors\n When an input of an event decides a shape otherwise than the model declares it. All other events\n have been computed; results of those that failed are left as they were."
        }
    };
    format!(
        " Runs the network on many events: every argument is a slice with {element}; results go into the last\n ones. With the feature `threads` the events are shared out over the cores; the bits are the same.{errors}\n\n # Panics\n When the slices have different lengths."
    )
}
