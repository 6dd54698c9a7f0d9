//! Initial states of recurrent layers that are zeros, as exporters write them: the layer starts from zeros itself, and
//! nothing is left to copy for each batch.

use super::pattern::uniform;
use crate::ir::{Builder, Invalid, Op, Recurrent, ValueId};

/// The layer without the initial states that are zeros, if it has such.
pub fn without_zeros(
    b: &mut Builder,
    layer: &Recurrent,
    inputs: &[ValueId],
) -> Result<Option<Vec<ValueId>>, Invalid> {
    let zeros = |v: ValueId| uniform(b.graph(), v).is_some_and(|x| x.bits == 0);
    let first = 4 + usize::from(layer.lens);
    let h0 = layer.h0.then_some(first);
    let c0 = layer.c0.then_some(first + usize::from(layer.h0));
    let gone: Vec<usize> = [h0, c0].into_iter().flatten().filter(|&i| zeros(inputs[i])).collect();
    if gone.is_empty() {
        return Ok(None);
    }
    let stays = |i: Option<usize>| i.is_some_and(|i| !gone.contains(&i));
    let op = Op::Recurrent(Recurrent { h0: stays(h0), c0: stays(c0), ..*layer });
    let kept = (0..inputs.len()).filter(|i| !gone.contains(i));
    let kept: Vec<ValueId> = kept.map(|i| inputs[i]).collect();
    b.push(op, &kept).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Cell, Dim, Shape, Tensor};
    use sofie_infer_runtime::{Act, DType};

    /// The optimised graph of an LSTM whose states are a constant for each of a free number of sequences.
    fn with_states(h: f32, c: f32) -> String {
        let mut b = Builder::new();
        let batch = Dim::bounded("batch", 0, 9);
        let x = b.input("x", DType::F32, Shape::new(vec![3.into(), batch.clone(), 2.into()]));
        let weights = |b: &mut Builder, dims: &[usize]| {
            b.tensor(Tensor::of(dims, &vec![0.25f32; dims.iter().product()]))
        };
        let operands = [&[16, 2][..], &[16, 4], &[32]].map(|dims| weights(&mut b, dims));
        let mut inputs = vec![x];
        inputs.extend(operands);
        for state in [h, c] {
            let one = b.tensor(Tensor::of(&[1, 1], &[state]));
            inputs.push(b.broadcast(one, &Shape::new(vec![batch.clone(), 4.into()])).unwrap());
        }
        let cell = Cell::Lstm { f: Act::Sigmoid, g: Act::Tanh, h: Act::Tanh, input_forget: false };
        let layer =
            Recurrent { cell, reverse: false, clip: None, lens: false, h0: true, c0: true, peepholes: false };
        let results = b.push(Op::Recurrent(layer), &inputs).unwrap();
        b.output("y", results[0]);
        crate::passes::optimize(b.finish(), None).unwrap().to_string()
    }

    #[test]
    fn zeros_go_and_other_states_stay() {
        for (h, c, broadcasts) in [(0.0, 0.0, 0), (0.5, 0.0, 1), (0.0, 0.5, 1), (-0.0, 1.0, 2)] {
            let text = with_states(h, c);
            assert_eq!(text.matches("broadcast").count(), broadcasts, "{h} {c}: {text}");
        }
    }
}
