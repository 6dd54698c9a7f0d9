//! Scores the jets of a ROOT file with a trained ParticleNet and writes the scores as a tree of their own.
//!
//! `root JETS.root SCORES.root`: an entry of the tree `jets` is a jet, its columns `pt`, `deta` and `dphi` are
//! `std::vector<float>`s with a number a particle. The tree `scores` has as many entries, in the same order, so ROOT reads
//! both as one: `jets->AddFriend("scores", "SCORES.root")`.
#![forbid(unsafe_code)]

use oxyroot::{RootFile, WriterTree};
use std::error::Error;

// Compiled into this program; it needs no model file when it runs.
sofie_infer::sofie_model!("../../assets/particlenet.onnx");

const SCORES: [&str; 3] = ["one_prong", "two_prongs", "three_prongs"];

/// Fills the network's inputs with one jet: the 64 hardest particles, zeros where there are fewer.
fn fill(inputs: &mut particlenet::Inputs<'_>, pt: &[f32], deta: &[f32], dphi: &[f32]) {
    let ([points], [features], [[mask]]) = (&mut *inputs.points, &mut *inputs.features, &mut *inputs.mask);
    points.as_flattened_mut().fill(0.0);
    features.as_flattened_mut().fill(0.0);
    mask.fill(0.0);
    let mut hardest: Vec<usize> = (0..pt.len()).collect();
    hardest.sort_by(|&a, &b| pt[b].total_cmp(&pt[a]));
    let total: f32 = pt.iter().sum();
    for (slot, particle) in hardest.into_iter().take(mask.len()).enumerate() {
        let (pt, x, y) = (pt[particle], deta[particle], dphi[particle]);
        // The numbers that the network was trained on.
        let numbers = [pt.ln() - 2.0, (pt / total).ln() + 4.0, 4.0 * x.hypot(y), 4.0 * x, 4.0 * y];
        for (feature, number) in features.iter_mut().zip(numbers) {
            feature[slot] = number;
        }
        (points[0][slot], points[1][slot], mask[slot]) = (x, y, 1.0);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let [_, jets, out] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: root JETS.root SCORES.root".into());
    };
    let tree = RootFile::open(jets)?.get_tree("jets")?;
    let column = |name: &str| {
        let branch = tree.branch(name).ok_or(format!("{jets} has no column `{name}`"))?;
        Ok::<_, Box<dyn Error>>(branch.as_iter::<Vec<f32>>()?)
    };

    let mut session = particlenet::Session::new();
    let mut scores: [Vec<f32>; 3] = Default::default();
    for ((pt, deta), dphi) in column("pt")?.zip(column("deta")?).zip(column("dphi")?) {
        if pt.len() != deta.len() || pt.len() != dphi.len() {
            return Err(format!("jet {}: columns of different lengths", scores[0].len()).into());
        }
        let mut inputs = session.inputs();
        fill(&mut inputs, &pt, &deta, &dphi);
        let [probabilities] = inputs.run().softmax;
        for (column, probability) in scores.iter_mut().zip(probabilities) {
            column.push(*probability);
        }
    }
    println!("scored {} of {} jets", scores[0].len(), tree.entries());

    let (mut file, mut friend) = (RootFile::create(out)?, WriterTree::new("scores"));
    for (name, column) in SCORES.into_iter().zip(scores) {
        friend.new_branch(name, column.into_iter());
    }
    friend.write(&mut file)?;
    file.close()?;
    Ok(())
}
