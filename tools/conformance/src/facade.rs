//! The facade as `cargo test` builds it: cargo says where it lies, and rustc builds programs with it. A crate of its own for
//! each program would build the runtime and the compiler once more, since cargo shares nothing between workspaces.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The built facade.
pub struct Facade {
    library: PathBuf,
    /// Where what it is built of lies.
    dependencies: BTreeSet<PathBuf>,
}

impl Facade {
    /// Builds it in this workspace. Examples ask for the same features as tests do, and so share what those are built of.
    pub fn build() -> Result<Facade, String> {
        let output = Command::new("cargo")
            .args(["build", "--quiet", "--examples", "--message-format", "json-render-diagnostics"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("cargo: {e}"))?;
        if !output.status.success() {
            return Err("cargo does not build the facade".into());
        }
        Facade::from_messages(&String::from_utf8_lossy(&output.stdout))
    }

    /// Out of cargo's messages, a line of JSON each.
    fn from_messages(text: &str) -> Result<Facade, String> {
        let mut library = None;
        let mut dependencies = BTreeSet::new();
        for message in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let named = message["target"]["name"] == "sofie_infer";
            let files = message["filenames"].as_array().into_iter().flatten();
            for file in files.filter_map(|file| file.as_str()).map(PathBuf::from) {
                dependencies.extend(file.parent().map(Path::to_path_buf));
                if named && file.extension().is_some_and(|e| e == "rlib") {
                    library = Some(file);
                }
            }
        }
        let library = library.ok_or("cargo does not name the facade's library")?;
        Ok(Facade { library, dependencies })
    }

    /// What builds `main.rs` of `folder`; each problem is a line that begins with its file.
    pub fn rustc(&self, folder: &Path, program: &Path) -> Command {
        let mut command = Command::new("rustc");
        command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
        command.args(["--edition", "2024", "--crate-name", "batch", "--error-format", "short", "main.rs"]);
        command.arg("-o").arg(program);
        command.arg("--extern").arg(format!("sofie_infer={}", self.library.display()));
        for folder in &self.dependencies {
            command.arg("-L").arg(format!("dependency={}", folder.display()));
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Facade;

    #[test]
    fn cargo_says_where_the_facade_and_its_dependencies_lie() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"half"},"filenames":["/t/deps/libhalf-1.rlib"]}
            {"reason":"build-script-executed","out_dir":"/t/build/half"}
            no message
            {"reason":"compiler-artifact","target":{"name":"sofie_infer"},"filenames":["/t/libsofie_infer.rlib","/t/deps/libsofie_infer-1.rmeta"]}
            {"reason":"build-finished","success":true}"#;
        let facade = Facade::from_messages(messages).expect("the library is named");
        assert_eq!(facade.library, PathBuf::from("/t/libsofie_infer.rlib"));
        assert_eq!(facade.dependencies, [PathBuf::from("/t"), PathBuf::from("/t/deps")].into());
        assert!(Facade::from_messages("").is_err());
    }
}
