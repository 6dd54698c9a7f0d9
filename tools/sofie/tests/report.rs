//! The page of `sofie report`: whole, without the network, and, where a Chromium is installed, as a person sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn report(model: &str, more: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).expect("a folder");
    let page = folder.join(format!("{model}{}.html", more.len()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = Command::new(env!("CARGO_BIN_EXE_sofie"))
        .args(["report", &format!("assets/models/{model}.onnx"), "-o"])
        .arg(&page)
        .args(more)
        .current_dir(root)
        .output()
        .expect("sofie starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    page
}

#[test]
fn the_page_is_whole_and_fetches_nothing() {
    let html = std::fs::read_to_string(report("torch_tfenc", &[])).expect("a page");
    for fetches in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(fetches), "{fetches}");
    }
    for part in [
        "id=\"before\"",
        "id=\"after\"",
        "id=\"memory\"",
        "id=\"steps\"",
        "class=\"peak\"",
        "class=\"bound\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains("LayerNormalization-17") && html.contains("Softmax"), "the file's nodes by name");
    assert!(!html.contains("µs</th>"), "times without data");
}

#[test]
fn times_come_with_data() {
    let data = ["--data", "assets/io/lenet_mnist/case0/inputs.npz", "--rounds", "2"];
    let html = std::fs::read_to_string(report("lenet_mnist", &data)).expect("a page");
    assert!(html.contains("µs</th>") && html.contains("in kernels") && html.contains("batch = "));
}

/// A Chromium of this machine: the one that `CHROMIUM` names, else one in the path.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|f| f.is_file());
    named.or(found)
}

#[test]
fn a_browser_shows_it() {
    let Some(chromium) = chromium() else {
        eprintln!("skipped: no Chromium is installed");
        return;
    };
    let page = report("particlenet_lite_k7_p100", &[]);
    let (shot, profile) = (page.with_extension("png"), page.with_extension("profile"));
    let _ = std::fs::remove_file(&shot);
    let open = |what: &str| {
        let out = Command::new(&chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--window-size=1440,1900",
                "--timeout=30000",
                what,
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .expect("Chromium starts");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let dom = open("--dump-dom");
    assert!(dom.contains("data-ready=\"yes\""), "the page's script ran to its end");
    open(&format!("--screenshot={}", shot.display()));
    let png = std::fs::read(&shot).expect("a screenshot");
    // An empty page of this size is under 20 kB.
    assert!(png.starts_with(b"\x89PNG") && png.len() > 100_000, "{} bytes", png.len());
}
