//! Makes the files that the other two programs read, from the toy jets in `assets/`.
//!
//! `make FOLDER` writes `jets.root` (a tree with `std::vector<float>` columns, a number a particle) and `jets.parquet` (a
//! table with 16 numbers a jet). Both are what a detector's software would have left; neither is worth keeping in git.
#![forbid(unsafe_code)]

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch};
use oxyroot::{RootFile, WriterTree};
use parquet::arrow::ArrowWriter;
use sofie_infer::npz::Npz;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets");
const NUMBERS: [&str; 16] = [
    "multiplicity",
    "girth_half",
    "girth",
    "girth_2",
    "girth_3",
    "c1_half",
    "c1",
    "c1_2",
    "c2",
    "d2",
    "minor",
    "major",
    "roundness",
    "leading",
    "leading_3",
    "dispersion",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: make FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    root(&folder.join("jets.root"))?;
    parquet(&folder.join("jets.parquet"))?;
    println!("wrote jets.root and jets.parquet to {}", folder.display());
    Ok(())
}

/// Particles: momentum, and where they are about the jet's axis.
fn root(path: &Path) -> Result<(), Box<dyn Error>> {
    let jets = Npz::open(format!("{ASSETS}/particlenet_jets.npz"))?;
    let values = |name: &str| jets.array(name)?.values::<f32>();
    let (points, features, mask) = (values("points")?, values("features")?, values("mask")?);
    let labels: Vec<i64> = jets.array("labels")?.values()?;
    let particles = |rows: &[f32], row: usize| -> Vec<Vec<f32>> {
        let jets = rows.chunks(rows.len() / labels.len()).zip(mask.chunks(64));
        jets.map(|(jet, mask)| {
            jet[64 * row..].iter().zip(mask).filter(|p| *p.1 > 0.0).map(|p| *p.0).collect()
        })
        .collect()
    };
    // The network's first number of a particle is ln(pt) - 2.
    let mut pt = particles(&features, 0);
    pt.iter_mut().flatten().for_each(|x| *x = (*x + 2.0).exp());

    let (mut file, mut tree) = (RootFile::create(path)?, WriterTree::new("jets"));
    tree.new_branch("pt", pt.into_iter());
    tree.new_branch("deta", particles(&points, 0).into_iter());
    tree.new_branch("dphi", particles(&points, 1).into_iter());
    tree.new_branch("label", labels.into_iter());
    tree.write(&mut file)?;
    file.close()?;
    Ok(())
}

/// Jets: 16 numbers each, standardised as in training.
fn parquet(path: &Path) -> Result<(), Box<dyn Error>> {
    let jets = Npz::open(format!("{ASSETS}/hls4ml_mlp_trained_jets.npz"))?;
    let (x, labels) = (jets.array("x")?.values::<f32>()?, jets.array("labels")?.values::<i64>()?);
    let column = |i: usize| Float32Array::from_iter_values(x.chunks(16).map(|jet| jet[i]));
    let mut columns: Vec<(&str, ArrayRef)> = vec![("label", Arc::new(Int64Array::from(labels)))];
    columns.extend(NUMBERS.iter().enumerate().map(|(i, name)| (*name, Arc::new(column(i)) as ArrayRef)));
    let table = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, table.schema(), None)?;
    writer.write(&table)?;
    writer.close()?;
    Ok(())
}
