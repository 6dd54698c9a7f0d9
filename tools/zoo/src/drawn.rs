//! Cases at extents drawn at random within a model's bounds: inputs made of the stored ones' numbers, outputs by the plan
//! of the model compiled for these very extents. So a session of free extents is held to the fixed one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sofie_infer_compiler::ir::Tensor;
use sofie_infer_compiler::plan::Port;
use sofie_infer_compiler::{Options, compile};
use sofie_infer_runtime::npz::{Array, Npz};

use crate::compiler::caught;
use crate::dims::{Bounds, Dims};
use crate::npz;
use crate::scratch::Model;

/// Extents beside the least and the largest.
const DRAWN: usize = 3;

/// Writes the cases into `folder`; returns where they lie and at which extents they are.
pub fn cases(model: &Model, folder: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let one = |(k, extents): (usize, Dims)| {
        let shown: Vec<_> = extents.iter().map(|(symbol, n)| format!("{symbol} = {n}")).collect();
        let (shown, case) = (shown.join(", "), folder.join(format!("drawn{k}")));
        let written = caught(|| write(model, &extents, &case)).and_then(|result| result);
        written.map_err(|e| format!("at {shown}: {e}"))?;
        Ok((case, shown))
    };
    extents(&model.bounds).into_iter().enumerate().map(one).collect()
}

/// The least extents, the largest, and some between. Symbols of equal bounds have equal extents: tf2onnx names the one batch
/// of several inputs by several.
fn extents(bounds: &Bounds) -> Vec<Dims> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut at = |f: &dyn Fn(usize, usize, &mut Random) -> usize| -> Dims {
        let mut drawn = BTreeMap::new();
        let mut of = |&(least, most): &(usize, usize)| {
            *drawn.entry((least, most)).or_insert_with(|| f(least, most, &mut random))
        };
        bounds.iter().map(|(symbol, bounds)| (symbol.clone(), of(bounds))).collect()
    };
    let mut all = vec![at(&|least, _, _| least), at(&|_, most, _| most)];
    all.extend((0..DRAWN).map(|_| at(&|least, most, random| least + random.below(most - least + 1))));
    all
}

fn write(model: &Model, extents: &Dims, case: &Path) -> Result<(), String> {
    let Model { entry, dims, .. } = model;
    let dims = dims.iter().chain(extents).map(|(symbol, &n)| (symbol.clone(), n as u64)).collect();
    let options = Options { dims, ..Options::default() };
    let fixed = compile(&entry.path, &entry.path, &options).map_err(|f| f.to_string())?;
    let stored = entry.cases.iter().map(|c| Npz::open(c.join("inputs.npz")).map_err(|e| e.to_string()));
    let stored: Vec<Npz> = stored.collect::<Result<_, _>>()?;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let least = extents.values().copied().min().unwrap_or(0);
    let inputs = fixed.plan.inputs.iter().map(|port| input(port, &stored, least, &mut random));
    let inputs: Vec<Array> = inputs.collect::<Result<_, _>>()?;
    let tensor = |a: &Array| Tensor::from_bytes(a.dtype, a.shape.clone(), a.bytes.clone());
    let tensors: Option<Vec<Tensor>> = inputs.iter().map(tensor).collect();
    let outputs = fixed
        .execute(&tensors.ok_or("an input of another size than its shape")?)
        .map_err(|e| e.to_string())?;
    let named: Vec<_> = fixed.plan.inputs.iter().map(|p| p.name.as_str()).zip(inputs).collect();
    npz::write(&case.join("inputs.npz"), &named)?;
    let array = |t: &Tensor| Array { dtype: t.dtype(), shape: t.dims().to_vec(), bytes: t.bytes().to_vec() };
    let names = fixed.plan.outputs.iter().map(|(p, _)| p.name.as_str());
    let named: Vec<_> = names.zip(outputs.iter().map(array)).collect();
    npz::write(&case.join("outputs.npz"), &named)
}

/// Numbers of a stored case from some place on, over and over. Integers are those of the case whose largest is the smallest,
/// and modulo the least extent where they reach it: what counts along an axis stays inside it.
fn input(port: &Port, stored: &[Npz], least: usize, random: &mut Random) -> Result<Array, String> {
    let arrays = stored.iter().map(|npz| npz.array(&port.name).map_err(|e| e.to_string()));
    let arrays: Vec<Array> = arrays.collect::<Result<_, _>>()?;
    let largest = |a: &&Array| a.to_f64().into_iter().fold(0.0, f64::max);
    let from = match port.dtype.is_float() {
        true => arrays.first(),
        false => arrays.iter().min_by(|a, b| largest(a).total_cmp(&largest(b))),
    };
    let (dtype, shape) = (port.dtype, port.dims.clone());
    let len = shape.iter().product::<usize>() * dtype.size();
    let bytes =
        from.map_or(Vec::new(), |a| if dtype.is_float() { a.bytes.clone() } else { inside(a, least) });
    if bytes.is_empty() {
        return Ok(Array { dtype, shape, bytes: vec![0; len] });
    }
    let start = random.below(bytes.len() / dtype.size()) * dtype.size();
    Ok(Array { dtype, shape, bytes: bytes.iter().cycle().skip(start).take(len).copied().collect() })
}

/// The bytes of integers, modulo `least` if one is not below it.
fn inside(a: &Array, least: usize) -> Vec<u8> {
    let numbers = a.to_f64();
    if least == 0 || numbers.iter().all(|&n| n < least as f64) {
        return a.bytes.clone();
    }
    let size = a.dtype.size();
    // Little-endian, and not negative once it is a remainder.
    numbers
        .iter()
        .flat_map(|&n| (n.rem_euclid(least as f64) as u64).to_le_bytes().into_iter().take(size))
        .collect()
}

/// Numbers that are the same at each run: xorshift, Marsaglia 2003.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sofie_infer_runtime::DType;

    #[test]
    fn indices_stay_inside_the_least_extent() {
        let bytes = [3i32, 0, 7, 18].iter().flat_map(|n| n.to_le_bytes()).collect();
        let a = Array { dtype: DType::I32, shape: vec![4], bytes };
        let wrapped = |least| Array { bytes: inside(&a, least), ..a.clone() }.to_f64();
        assert_eq!(wrapped(19), [3.0, 0.0, 7.0, 18.0]);
        assert_eq!(wrapped(5), [3.0, 0.0, 2.0, 3.0]);
        assert_eq!(wrapped(0), [3.0, 0.0, 7.0, 18.0]);
    }

    #[test]
    fn extents_are_within_the_bounds() {
        let bounds = [("batch", (0, 3)), ("n", (7, 9)), ("other", (0, 3))];
        let bounds: Bounds = bounds.map(|(symbol, bounds)| (symbol.to_owned(), bounds)).into();
        let all = extents(&bounds);
        assert_eq!(all.len(), 2 + DRAWN);
        assert_eq!((all[0]["batch"], all[0]["n"], all[1]["batch"], all[1]["n"]), (0, 7, 3, 9));
        assert!(all.iter().all(|e| e["batch"] <= 3 && (7..=9).contains(&e["n"])));
        assert!(all.iter().all(|e| e["batch"] == e["other"]));
    }
}
