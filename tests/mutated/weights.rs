//! Files of weights: a session takes a mutant only where it holds the very numbers that were written, and otherwise says
//! why not and keeps what it has.

#[path = "../../fuzz/entries/weights.rs"]
mod entry;

use crate::mutants::mutant;
use crate::requests::largest_request;
use sofie_infer::rt::weights_file::Error;
use sofie_infer_compiler::{Options, compile};
use std::path::Path;

sofie_infer::sofie_model!(
    mod tagger = "assets/models/hls4ml_mlp_trained.onnx",
    dims(batch = 1),
    weights = external
);

const INPUT: [[f32; 16]; 1] = [[0.5; 16]];
const MUTANTS: u64 = 20_000;

fn file() -> Vec<u8> {
    let model = Path::new("assets/models/hls4ml_mlp_trained.onnx");
    let options = Options { dims: [("batch".into(), 1)].into(), ..Options::default() };
    let compiled = compile(model, model, &options).unwrap_or_else(|failure| panic!("{}", failure));
    sofie_infer_build::weights::safetensors(&compiled, "tagger").expect("weights")
}

/// How often a file was taken, and how often refused as what.
#[derive(Debug, Default)]
struct Tally {
    taken: usize,
    damaged: usize,
    foreign: usize,
    other: usize,
    block: usize,
}

/// Reloads a session from mutants; each starts from a session with weights of its own, so that those must be kept.
fn tally(mutants: impl Iterator<Item = Vec<u8>>) -> Tally {
    let mut session = tagger::Session::load(file()).expect("a session");
    let want = *session.infer(&INPUT).y;
    let mut tally = Tally::default();
    for bytes in mutants {
        let most = 20_000 + 16 * bytes.len() + tagger::WEIGHTS.bytes;
        let reload =
            || entry::reload(&mut session, &bytes, |s, b| s.reload(b), |s| s.infer(&INPUT).y[0].to_vec());
        let (result, largest) = largest_request(reload);
        assert!(largest <= most, "{} bytes ask for {largest}", bytes.len());
        *match result {
            Ok(()) => &mut tally.taken,
            Err(Error::Damaged(_) | Error::Read(_)) => &mut tally.damaged,
            Err(Error::Foreign) => &mut tally.foreign,
            Err(Error::OtherProgram) => &mut tally.other,
            Err(Error::Block(_)) => &mut tally.block,
        } += 1;
        assert_eq!(*session.infer(&INPUT).y, want, "a mutant was taken for other numbers");
    }
    tally
}

#[test]
fn mutants_are_the_same_weights_or_refused() {
    let file = file();
    let tally = tally((0..MUTANTS).map(|seed| mutant(&file, seed)));
    assert!(tally.damaged > 10_000, "too tame or too wild: {tally:?}");
}

/// The header's length is mended, so that the damage gets past it.
#[test]
fn mutants_of_the_header_are_the_same_weights_or_refused() {
    let file = file();
    let length = file.first_chunk().map_or(0, |n| u64::from_le_bytes(*n) as usize);
    let (header, data) = file[8..].split_at(length);
    let tally = tally((0..MUTANTS).map(|seed| {
        let header = mutant(header, seed);
        [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
    }));
    let seen = [tally.taken, tally.damaged, tally.foreign, tally.other, tally.block];
    assert!(seen.iter().all(|n| *n > 5), "too tame or too wild: {tally:?}");
}
