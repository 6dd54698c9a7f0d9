//! Outputs agree with ONNX Runtime's, within what `assets/zoo.json` allows everywhere: rtol 1e-4, atol 1e-5.

use std::collections::BTreeSet;

use sofie_infer::npz::{Array, Npz, Tolerance, distance};

use crate::models::{all, cases};

#[test]
fn outputs_agree_with_the_reference() {
    let mut wrong = Vec::new();
    for (name, mut session) in all() {
        for case in cases(name, &*session) {
            case.fill(&mut *session);
            session.run();
            let stored = Npz::open(format!("{}/outputs.npz", case.folder)).unwrap();
            for (i, info) in session.output_info().iter().enumerate() {
                let bytes = session.output_bytes(i).to_vec();
                let got = Array { dtype: info.dtype, shape: info.shape.to_vec(), bytes };
                let want = stored.array(info.name).unwrap();
                let error = distance(&got, &want, Tolerance::Close { rtol: 1e-4, atol: 1e-5 });
                if !error.as_ref().is_ok_and(|e| e.agrees()) {
                    wrong.push(format!("{}, output `{}`: {error:?}", case.folder, info.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_asset_is_left_out() {
    let file = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().path();
    let folders = ["assets", "assets/models"].map(|d| std::fs::read_dir(d).unwrap());
    let models =
        folders.into_iter().flatten().map(file).filter(|p| p.extension().is_some_and(|e| e == "onnx"));
    let on_disk: BTreeSet<_> = models.map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let compiled: BTreeSet<_> = all().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(on_disk, compiled);
}
