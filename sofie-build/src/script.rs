//! What a build script says to cargo: which files it read, and what is wrong, line by line, so that cargo shows it as it
//! shows rustc's errors.

use std::path::Path;

use sofie_infer_compiler::error::Errors;

use crate::{Model, Output};

/// Compiles a model with no options: [`Model::compile`].
pub fn compile(model: impl AsRef<Path>) -> Output {
    Model::new(model).compile()
}

impl Model {
    /// Compiles the model in a build script: tells cargo to run the script again when a file that was read changes. What
    /// is wrong with the model is printed as cargo prints errors, and the process ends with status 1.
    pub fn compile(&self) -> Output {
        let (lines, result) = (self.tell(), self.write());
        lines.iter().for_each(|line| println!("{line}"));
        match result {
            Ok(output) => {
                rerun(&output).iter().for_each(|line| println!("{line}"));
                output
            }
            Err(errors) => {
                complaints(&errors).iter().for_each(|line| println!("{line}"));
                std::process::exit(1)
            }
        }
    }

    /// The model's own file, which is watched even where it cannot be read.
    fn tell(&self) -> Vec<String> {
        vec![format!("cargo::rerun-if-changed={}", self.file().display())]
    }
}

/// All files that were read; the script itself, since naming any file ends cargo's watching of everything.
fn rerun(output: &Output) -> Vec<String> {
    let files = output.read.iter().map(|f| format!("cargo::rerun-if-changed={}", f.display()));
    files.chain(["cargo::rerun-if-changed=build.rs".to_owned()]).collect()
}

/// One line an instruction: cargo reads no further.
fn complaints(errors: &Errors) -> Vec<String> {
    let text = errors.to_string();
    let text = text.strip_prefix("error: ").or_else(|| text.strip_prefix("error ")).unwrap_or(&text);
    text.lines().map(|line| format!("cargo::error={line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sofie_infer_compiler::error::Error;

    #[test]
    fn an_error_of_several_lines_is_several_instructions() {
        let errors = Errors::from(Error::new("no\nway").help("go round").in_file("m.onnx"));
        assert_eq!(
            complaints(&errors),
            ["cargo::error=in m.onnx: no", "cargo::error=  way", "cargo::error=  help: go round"]
        );
    }
}
