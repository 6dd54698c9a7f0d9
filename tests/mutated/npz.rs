//! Archives: a mutant gives arrays that are consistent, or an error, for little memory.

#[path = "../../fuzz/entries/npz.rs"]
mod entry;

use crate::mutants::mutant;
use crate::requests::largest_request;
use sofie_infer::npz::Npz;

/// Stored and deflated.
const ARCHIVES: [&str; 2] = ["assets/io/hls4ml_mlp/case0/inputs.npz", "assets/particlenet_reference.npz"];

#[test]
fn archives_end_as_arrays_or_errors() {
    let (mut read, mut refused) = (0, 0);
    for file in ARCHIVES.map(|path| std::fs::read(path).expect("an archive")) {
        assert!(entry::archive(file.clone()).is_ok());
        for seed in 0..20_000 {
            let bytes = mutant(&file, seed);
            let size = bytes.len();
            let (result, largest) = largest_request(|| entry::archive(bytes));
            // Deflate packs a thousand to one, and what is unpacked is read as f64.
            assert!(largest <= 20_000 * (size + 100), "mutant {seed} of {size} bytes asks for {largest}");
            *if result.is_ok() { &mut read } else { &mut refused } += 1;
        }
    }
    assert!(read > 200 && refused > 10_000, "too tame or too wild: {read} read, {refused} refused");
}

#[test]
fn arrays_that_no_checksum_protects_end_as_arrays_or_errors() {
    let header = |order: &str, shape: &str| {
        let dictionary = format!("{{'descr': '{order}f4', 'fortran_order': True, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00".as_slice(), &(dictionary.len() as u16).to_le_bytes(), dictionary.as_bytes()]
            .concat()
    };
    let whole = [
        [header("<", "(2, 3)"), vec![1; 24]].concat(),
        [header(">", "(1, 0, 7)"), Vec::new()].concat(),
        [header("|", "()"), vec![0; 4]].concat(),
    ];
    let (mut read, mut refused) = (0, 0);
    for file in &whole {
        assert!(entry::array(file).is_ok(), "{}", String::from_utf8_lossy(file));
        for seed in 0..20_000 {
            let bytes = mutant(file, seed);
            let (result, largest) = largest_request(|| entry::array(&bytes));
            assert!(largest <= 16 * (bytes.len() + 500), "mutant {seed} asks for {largest}");
            *if result.is_ok() { &mut read } else { &mut refused } += 1;
        }
    }
    assert!(read > 200 && refused > 10_000, "too tame or too wild: {read} read, {refused} refused");
    assert!(Npz::from_bytes(Vec::new()).is_err());
}
