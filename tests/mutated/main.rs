//! No bytes make a session or an archive panic, hang or allocate without measure. The fuzz targets' own entries
//! (`fuzz/entries`, docs/fuzzing.md) run here on seeded mutants: archives in any test run, weights with `safetensors`.

mod mutants;
mod npz;
mod requests;
#[cfg(feature = "safetensors")]
mod weights;
