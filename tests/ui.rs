//! What users see when they are wrong, word for word. `TRYBUILD=overwrite cargo test --test ui` writes the messages again.
//! Programs that must build and run are tests of their own (`pass_…` in Cargo.toml): here they would make trybuild build all
//! of their dependencies, twice, instead of checking them.

use std::path::Path;

/// The cases name their models relative to the crate that trybuild makes: bring the models there.
fn bring_models() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory");
    let models = target.join("tests/trybuild/sofie-infer/models");
    std::fs::create_dir_all(&models).expect("a folder for the models");
    for file in std::fs::read_dir("ui-tests/models").expect("the models").flatten() {
        let to = models.join(file.file_name());
        if std::fs::read(&to).ok() != std::fs::read(file.path()).ok() {
            std::fs::copy(file.path(), to).expect("a copy of a model");
        }
    }
}

#[test]
fn ui() {
    bring_models();
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui-tests/fail/*.rs");
}
