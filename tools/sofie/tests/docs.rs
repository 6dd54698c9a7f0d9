//! Every `sofie ...` line of the documentation runs, from the repository's root, with exit status 0.

use std::path::Path;
use std::process::Command;

/// The commands in the shell blocks of a page; what they write goes into the test's own folder.
fn commands(page: &str) -> Vec<String> {
    let (mut shell, mut all) = (false, Vec::new());
    for line in page.lines() {
        match line {
            "```sh" => shell = true,
            "```" => shell = false,
            line if shell && line.starts_with("sofie ") => {
                all.push(line.replace("target/", concat!(env!("CARGO_TARGET_TMPDIR"), "/")));
            }
            _ => {}
        }
    }
    all
}

#[test]
fn commands_of_the_documentation_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut ran = 0;
    for page in std::fs::read_dir(root.join("docs")).expect("docs").flatten() {
        let text = std::fs::read_to_string(page.path()).expect("a page");
        for command in commands(&text) {
            let out = Command::new(env!("CARGO_BIN_EXE_sofie"))
                .args(command.split_whitespace().skip(1))
                .current_dir(&root)
                .output()
                .expect("sofie starts");
            assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} commands");
}
