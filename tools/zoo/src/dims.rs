//! How a model's symbolic dimensions are fixed: by `--dims`, else by the shapes of case0's inputs.
//!
//! Only symbols of the graph's inputs are fixed; those that first appear in an output follow from them.

use std::collections::BTreeMap;
use std::path::Path;

use sofie_infer_runtime::npz::Npz;

use crate::compiler;
use crate::layout::Entry;

/// Extents by symbol.
pub type Dims = BTreeMap<String, usize>;

/// The least and the largest extents by symbol.
pub type Bounds = BTreeMap<String, (usize, usize)>;

/// `--dims NAME:SYMBOL=EXTENT,...`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    model: String,
    dims: Dims,
}

impl Override {
    /// The model whose symbols it fixes.
    pub fn model(&self) -> &str {
        &self.model
    }
}

/// Parses one `--dims`. The model ends at the first colon that leaves `SYMBOL=EXTENT` pairs, so that names with colons
/// (`serving_default_x:0`) work.
pub fn parse(text: &str) -> Result<Override, String> {
    let usage = || format!("`{text}` is not NAME:SYMBOL=EXTENT,...");
    let (model, pairs) = text.split_once(':').ok_or_else(usage)?;
    let pair = |pair: &str| {
        let (symbol, extent) = pair.rsplit_once('=').ok_or_else(usage)?;
        Ok((symbol.trim().to_owned(), extent.trim().parse().map_err(|_| usage())?))
    };
    Ok(Override { model: model.to_owned(), dims: pairs.split(',').map(pair).collect::<Result<_, String>>()? })
}

/// The extents for one model. A model that cannot be read has none: its build says why.
pub fn fix(entry: &Entry, overrides: &[Override]) -> Dims {
    let mut dims = Dims::new();
    for given in overrides.iter().filter(|o| o.model == entry.name) {
        dims.extend(given.dims.clone());
    }
    if let Some(case) = entry.cases.first() {
        for (symbol, extent) in stored(entry, case) {
            dims.entry(symbol).or_insert(extent);
        }
    }
    dims
}

/// The extents of a case's inputs.
fn stored(entry: &Entry, case: &Path) -> Dims {
    let mut dims = Dims::new();
    let stored = Npz::open(case.join("inputs.npz"));
    let (Ok(stored), Ok(inputs)) = (stored, compiler::inputs(&entry.path)) else { return dims };
    for (name, declared) in inputs {
        let Ok(array) = stored.array(&name) else { continue };
        if array.shape.len() != declared.len() {
            continue;
        }
        for (dim, &extent) in declared.into_iter().zip(&array.shape) {
            if let Some(symbol) = dim {
                dims.entry(symbol).or_insert(extent);
            }
        }
    }
    dims
}

/// Bounds that hold all cases of a model, for symbols that nothing else fixes.
pub fn bounds(entry: &Entry, overrides: &[Override]) -> (Dims, Bounds) {
    let mut fixed = Dims::new();
    for given in overrides.iter().filter(|o| o.model == entry.name) {
        fixed.extend(given.dims.clone());
    }
    let mut bounds = Bounds::new();
    for case in &entry.cases {
        for (symbol, n) in stored(entry, case).into_iter().filter(|(s, _)| !fixed.contains_key(s)) {
            let (least, most) = bounds.entry(symbol).or_insert((n, n));
            (*least, *most) = (n.min(*least), n.max(*most));
        }
    }
    (fixed, bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::entries;

    fn dims(pairs: &[(&str, usize)]) -> Dims {
        pairs.iter().map(|&(s, n)| (s.to_owned(), n)).collect()
    }

    #[test]
    fn overrides_are_pairs_of_symbol_and_extent() {
        let parsed = parse("tagger:batch=1,particles=64");
        assert_eq!(
            parsed,
            Ok(Override { model: "tagger".to_owned(), dims: dims(&[("batch", 1), ("particles", 64)]) })
        );
        let odd = parse("net:unk__12=3,a=b=4,x:0=5").map(|o| o.dims);
        assert_eq!(odd, Ok(dims(&[("unk__12", 3), ("a=b", 4), ("x:0", 5)])));
        for bad in ["batch=1", "net:", "net:batch", "net:batch=x", "net:batch=-1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn symbols_come_from_case0_unless_they_are_given() -> Result<(), String> {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let names = ["cicada_student", "graphnets_epd", "torch_tfenc"].map(str::to_owned);
        let all = entries(&assets, &names)?;
        let given = [parse("graphnets_epd:m=25")?, parse("torch_tfenc:batch=2")?];
        let fixed: Vec<_> = all.iter().map(|e| fix(e, &given)).collect();
        assert_eq!(fixed, [dims(&[("unk__501", 1)]), dims(&[("n", 20), ("m", 25)]), dims(&[("batch", 2)])]);
        Ok(())
    }
}
