//! Where the peers' shared libraries are: in PyPI's wheels, in a virtual environment that the tool makes.
//!
//! Python only installs them; nothing of it runs while we measure.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::build_folder;

/// The libraries to open.
pub struct Libraries {
    /// ONNX Runtime.
    pub ort: Option<PathBuf>,
    /// OpenVINO's C interface.
    pub openvino: Option<PathBuf>,
}

/// The peers' libraries from `venv`, or from one of our own that is made first.
pub fn libraries(venv: Option<&Path>, openvino: bool) -> Result<Libraries, String> {
    let folder = venv.map_or_else(|| build_folder().map(|f| f.join("venv")), |v| Ok(v.to_path_buf()))?;
    let packages: &[&str] = if openvino { &["onnxruntime", "openvino"] } else { &["onnxruntime"] };
    let find = || Libraries {
        ort: find(&folder, "onnxruntime/capi", "libonnxruntime"),
        openvino: if openvino { find(&folder, "openvino/libs", "libopenvino_c") } else { None },
    };
    let found = find();
    if found.ort.is_some() && found.openvino.is_some() == openvino {
        return Ok(found);
    }
    if venv.is_none() {
        eprintln!("installing {} into {}", packages.join(", "), folder.display());
        python("python3".as_ref(), &["-m", "venv"], &[folder.as_os_str()])?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let packages: Vec<_> = packages.iter().map(std::ffi::OsStr::new).collect();
        python(&folder.join("bin/python"), &install, &packages)?;
    }
    let found = find();
    if found.ort.is_some() && found.openvino.is_some() == openvino {
        return Ok(found);
    }
    Err(format!("{} does not hold the shared libraries of {}", folder.display(), packages.join(", ")))
}

fn python(program: &Path, args: &[&str], more: &[&std::ffi::OsStr]) -> Result<(), String> {
    let failed = |e: String| format!("{} {}: {e}", program.display(), args.join(" "));
    let status = Command::new(program).args(args).args(more).status().map_err(|e| failed(e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}

/// The library of this name in a package of the environment; its version is part of the file's name.
fn find(venv: &Path, folder: &str, library: &str) -> Option<PathBuf> {
    let children =
        |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let rest = name.strip_prefix(library).unwrap_or_default();
        rest.starts_with(".so") || (rest.starts_with('.') && rest.ends_with(".dylib"))
    };
    let pythons = children(venv.join("lib")).map(|p| p.join("site-packages").join(folder));
    pythons.flat_map(children).find(named)
}
