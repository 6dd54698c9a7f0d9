//! Both programs on files that are made here: what they wrote is read back and compared with a plain loop of `infer`
//! over the same jets, and with PyTorch's scores. The commands of docs/columns.md run as they stand there.
#![forbid(unsafe_code)]

use arrow_array::{Array, Float32Array, Int64Array};
use oxyroot::RootFile;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sofie_infer::npz::Npz;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

sofie_infer::sofie_model!("../../assets/particlenet.onnx");
sofie_infer::sofie_model!(mod tagger = "../../assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..=64));

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets");
const SCORES: [&str; 3] = ["one_prong", "two_prongs", "three_prongs"];

/// A folder with the input files.
fn made(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    assert!(run(env!("CARGO_BIN_EXE_make"), &[&folder]).status.success());
    folder
}

fn run(program: &str, paths: &[&Path]) -> Output {
    Command::new(program).args(paths).output().expect("the program starts")
}

fn values<T: sofie_infer::npz::Scalar>(file: &str, array: &str) -> Vec<T> {
    let jets = Npz::open(format!("{ASSETS}/{file}")).expect("jets");
    jets.array(array).and_then(|a| a.values()).expect("an array")
}

fn close(a: &[f32], b: &[f32], by: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by)
}

#[test]
fn a_tree_of_jets_gets_a_friend_with_their_scores() {
    let folder = made("root");
    let out = folder.join("scores.root");
    let ran = run(env!("CARGO_BIN_EXE_root"), &[&folder.join("jets.root"), &out]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "scored 200 of 200 jets\n");

    let tree = RootFile::open(&out).and_then(|mut f| f.get_tree("scores")).expect("the tree");
    assert_eq!(tree.entries(), 200);
    let columns = SCORES.map(|name| {
        let branch = tree.branch(name).expect("a column");
        branch.as_iter::<f32>().expect("floats").collect::<Vec<_>>()
    });
    let written: Vec<f32> = (0..200).flat_map(|jet| [0, 1, 2].map(|class| columns[class][jet])).collect();

    let file = "particlenet_jets.npz";
    let (points, features, mask) =
        (values::<f32>(file, "points"), values::<f32>(file, "features"), values::<f32>(file, "mask"));
    let jets = points.chunks(128).zip(features.chunks(320)).zip(mask.chunks(64));
    let mut session = particlenet::Session::new();
    let looped: Vec<f32> = jets
        .flat_map(|((points, features), mask)| {
            let points = sofie_infer::from_slice(points).expect("points");
            let features = sofie_infer::from_slice(features).expect("features");
            session.infer(points, features, sofie_infer::from_slice(mask).expect("mask")).softmax[0]
        })
        .collect();
    // The program works the momenta out again, which leaves their last bits to the logarithm.
    assert!(close(&written, &looped, 1e-4));
    assert!(close(&written, &values(file, "torch_softmax"), 1e-4));
}

#[test]
fn a_table_of_jets_gets_columns_of_scores() {
    let folder = made("parquet");
    let out = folder.join("scored.parquet");
    let ran = run(env!("CARGO_BIN_EXE_parquet"), &[&folder.join("jets.parquet"), &out]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let file = "hls4ml_mlp_trained_jets.npz";
    let (x, labels) = (values::<f32>(file, "x"), values::<i64>(file, "labels"));
    // The same batches: a jet alone adds up in another order, and its last bits differ.
    let mut session = tagger::Session::new();
    let (rows, _) = x.as_chunks::<16>();
    let looped: Vec<[f32; 3]> =
        rows.chunks(64).flat_map(|rows| session.infer(rows).expect("at most 64 jets").y.to_vec()).collect();
    let (mut jet, mut correct) = (0, 0);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(&out).expect("the file")).expect("Parquet");
    for batch in reader.build().expect("batches").map(|b| b.expect("a batch")) {
        assert_eq!(batch.num_columns(), 1 + 16 + 3);
        let label = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("labels");
        let floats = |name| {
            batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<Float32Array>()).expect(name)
        };
        let scores = SCORES.map(floats);
        for row in 0..batch.num_rows() {
            let got = [0, 1, 2].map(|class| scores[class].value(row));
            assert_eq!((got, label.value(row)), (looped[jet], labels[jet]), "jet {jet}");
            let best = (0..3).max_by(|&a, &b| got[a].total_cmp(&got[b]));
            correct += usize::from(best == usize::try_from(labels[jet]).ok());
            jet += 1;
        }
    }
    assert!(jet == 200 && correct > 170, "{correct} of {jet}");
}

#[test]
fn a_file_without_the_columns_is_refused_by_name() {
    let folder = made("refused");
    let scored = folder.join("scores.root");
    assert!(run(env!("CARGO_BIN_EXE_root"), &[&folder.join("jets.root"), &scored]).status.success());
    let ran = run(env!("CARGO_BIN_EXE_root"), &[&scored, &folder.join("again.root")]);
    assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("jets"));
    let ran = run(env!("CARGO_BIN_EXE_parquet"), &[&scored, &folder.join("again.parquet")]);
    assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("Parquet"));
}

#[test]
fn commands_of_the_page_run() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/columns.md"))
        .expect("the page");
    let commands: Vec<_> =
        page.lines().filter_map(|l| l.strip_prefix("cargo run -p columns --bin ")).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let (program, arguments) = command.split_once(" -- ").expect("arguments");
        let program = match program {
            "make" => env!("CARGO_BIN_EXE_make"),
            "root" => env!("CARGO_BIN_EXE_root"),
            "parquet" => env!("CARGO_BIN_EXE_parquet"),
            other => panic!("no program {other}"),
        };
        let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/");
        let paths: Vec<_> =
            arguments.split(' ').map(|path| PathBuf::from(path.replace("target/", target))).collect();
        let ran = run(program, &paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}
