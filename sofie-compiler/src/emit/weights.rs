//! Where the packed weights of a program are, and what the module says of them.
//!
//! Weights apart from the program come in their packed form: the same compiler runs over the retrained model and writes
//! the blocks that this program reads ([`layout`]). A hash of the steps says that both are one program: it covers every
//! constant that is not in a block, such as scalars that were folded into maps.

use super::names::Names;
use crate::ir::Symbol;
use crate::plan::family::Family;
use crate::plan::{Kernel, Operand, Plan, Root};
use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};
use sofie_infer_runtime::DType;
use std::fmt::Write;

/// Where a program has its packed weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WeightsIn {
    /// In a literal of the expansion.
    #[default]
    Literal,
    /// In a file that the expansion includes, relative to the file that the expansion stands in. Whoever asks for it
    /// writes the plan's weights there.
    File(String),
    /// Not in the program: `Session::load` reads a file that [`weights_layout`](crate::weights_layout) describes.
    External,
}

impl WeightsIn {
    /// What the steps read weights from.
    pub fn place(&self) -> TokenStream {
        match self {
            WeightsIn::External => quote!(weights),
            _ => quote!(WEIGHTS),
        }
    }
}

/// What a file of weights holds for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsLayout {
    /// Of the program's steps and of all constants in them.
    pub hash: u64,
    /// Bytes of the packed weights.
    pub bytes: usize,
    /// The blocks, in order.
    pub blocks: Vec<WeightsBlock>,
}

/// One packed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsBlock {
    /// After the ONNX node that reads it and the kernel's operand.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The number of elements, in the order that the kernel wants.
    pub len: usize,
    /// The first byte among the packed weights.
    pub offset: usize,
}

/// What a file of weights for this plan holds; `family` where its extents are free.
pub fn layout(plan: &Plan, family: Option<&Family>) -> WeightsLayout {
    let mut names = Names::reserving(&[]);
    let block = |(at, bytes): (usize, usize)| {
        let (name, dtype) = reader(plan, at, bytes)?;
        Some(WeightsBlock { name: names.label(&name), dtype, len: bytes / dtype.size(), offset: at })
    };
    let blocks: Vec<_> = plan.weights.blocks().into_iter().filter_map(block).collect();
    WeightsLayout { hash: hash(plan, family, &blocks), bytes: plan.weights.bytes().len(), blocks }
}

/// Who reads a block first, and as what; nobody reads a constant that was packed in another form.
fn reader(plan: &Plan, at: usize, bytes: usize) -> Option<(String, DType)> {
    let inside = |o: &Operand| {
        let start = o.start * o.dtype.size();
        o.root == Root::Weights && o.len > 0 && (at..at + bytes).contains(&start)
    };
    plan.all_steps().into_iter().find_map(|step| {
        let i = step.reads.iter().position(|read| read.as_ref().is_some_and(inside))?;
        let node = step.origin.first().map_or_else(|| step.kernel.name(), |o| &**o);
        Some((format!("{node}.{}", role(&step.kernel, i)), step.read_type(i)))
    })
}

/// The operand's name in the kernel's documentation.
fn role(kernel: &Kernel, i: usize) -> String {
    let names: &[&str] = match kernel {
        Kernel::Gemm(_) => &["a", "weight", "bias", "residual"],
        Kernel::Conv(_) => &["x", "weight", "prepared", "bias", "residual"],
        Kernel::ConvPool(_) => &["x", "weight", "bias"],
        Kernel::Separable(_) => &[
            "x",
            "weight_before",
            "bias_before",
            "weight",
            "bias",
            "weight_behind",
            "bias_behind",
            "residual",
        ],
        Kernel::ConvPlain(_) | Kernel::ConvTranspose(_) | Kernel::ConvTransposePlain(_) => {
            &["x", "weight", "bias", "residual"]
        }
        Kernel::Recurrent(_) => &["x", "weight", "recurrence", "bias", "peepholes", "lens", "h", "c"],
        Kernel::Rows(_) => &["x", "scale", "bias"],
        Kernel::RowsInPlace(_) => &["scale", "bias"],
        _ => &[],
    };
    names.get(i).map_or_else(|| format!("operand_{i}"), ToString::to_string)
}

/// FNV-1a, 64 bits, of everything that the program holds beside its weights, written as Rust's `Debug` writes it; tokens
/// would not do, since rustc and this crate print them differently. It need not resist malice: a file of other weights can
/// say anything anyway.
fn hash(plan: &Plan, family: Option<&Family>, blocks: &[WeightsBlock]) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let at = |o: &Operand| (o.root, o.dtype, plan.operand_offset(o), o.len);
    // Writing to a hash cannot fail.
    let _ = write!(hash, "{} {:?}", env!("CARGO_PKG_VERSION"), plan.inputs);
    for (port, o) in &plan.outputs {
        let _ = write!(hash, "{port:?} {:?}", at(o));
    }
    let _ = write!(hash, "{:?}", plan.check.as_ref().map(at));
    for (output, axis, o) in &plan.extents {
        let _ = write!(hash, "{output} {axis} {:?}", at(o));
    }
    for step in plan.all_steps() {
        // How steps are nested, and what decides between them; the steps inside follow.
        let _ = match &step.kernel {
            Kernel::If(k) => {
                write!(hash, "{:?} {} {}", at(&k.condition), k.then.steps.len(), k.otherwise.steps.len())
            }
            Kernel::Loop(k) => {
                let (trips, go) = (k.trips.as_ref().map(at), k.go.as_ref().map(at));
                write!(hash, "{:?} {} {trips:?} {go:?} {}", at(&k.counter), k.most, k.body.steps.len())
            }
            kernel => write!(hash, "{kernel:?}"),
        };
        step.writes.iter().map(Some).chain(step.reads.iter().map(Option::as_ref)).for_each(|o| {
            let _ = write!(hash, "{:?}", o.map(at));
        });
    }
    for p in &plan.preparations {
        let _ = write!(hash, "{:?} {:?} {:?}", p.kernel, at(&p.weights), at(&p.prepared));
    }
    // Where extents are free, the plan is that of the bounds, and others have the numbers of these polynomials.
    for Symbol { name, least, most } in family.iter().flat_map(|family| &family.symbols) {
        let _ = write!(hash, "{name} {least} {most}");
    }
    for number in family.iter().flat_map(|family| &family.numbers).filter(|d| d.fixed().is_none()) {
        let _ = write!(hash, "{number};");
    }
    // Blocks are found by name: two layers of one shape that changed places must not pass for each other.
    let _ = write!(hash, "{blocks:?}");
    hash.0
}

/// The hash of what was written so far.
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = text.bytes().fold(self.0, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(())
    }
}

/// The items that hold the weights, or say what a file of them holds.
pub fn packed(weights: &WeightsIn, plan: &Plan, family: Option<&Family>) -> TokenStream {
    let bytes = plan.weights.bytes();
    let steps = plan.all_steps();
    let mut reads = steps.iter().flat_map(|s| s.reads.iter().flatten());
    let literal = match weights {
        WeightsIn::External => return described(plan, family),
        // A step may read weights of no elements.
        _ if bytes.is_empty() && !reads.any(|o| o.root == Root::Weights) => return TokenStream::new(),
        WeightsIn::Literal => Literal::byte_string(bytes).into_token_stream(),
        WeightsIn::File(path) => quote!(include_bytes!(#path)),
    };
    let len = Literal::usize_unsuffixed(bytes.len());
    quote! {
        static PACKED: rt::Packed<#len> = rt::Packed(*#literal);
        const WEIGHTS: rt::Weights = PACKED.weights();
    }
}

fn described(plan: &Plan, family: Option<&Family>) -> TokenStream {
    let WeightsLayout { hash, bytes, blocks } = layout(plan, family);
    let (hash, bytes) = (Literal::u64_unsuffixed(hash), Literal::usize_unsuffixed(bytes));
    let blocks = blocks.iter().map(|WeightsBlock { name, dtype, len, offset }| {
        let dtype = format_ident!("{}", format!("{dtype:?}"));
        let (len, offset) = (Literal::usize_unsuffixed(*len), Literal::usize_unsuffixed(*offset));
        quote!(rt::weights_file::Block { name: #name, dtype: rt::DType::#dtype, len: #len, offset: #offset })
    });
    quote! {
        /// What a file of weights must hold.
        pub const WEIGHTS: rt::weights_file::Layout =
            rt::weights_file::Layout { hash: #hash, bytes: #bytes, blocks: &[#(#blocks),*] };
    }
}
