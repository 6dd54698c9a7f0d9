//! Every instruction set that this CPU has gives the same bits, the scalar form included.

use sofie_infer::npz::Npz;
use sofie_infer::rt::from_slice;
use sofie_infer::rt::simd::{Level, with_level};

use crate::models::{all, cases, particlenet};

#[test]
fn instruction_sets_agree_to_the_last_bit() {
    let levels: Vec<_> = Level::available().collect();
    println!("instruction sets: {}", levels.iter().map(|l| l.name()).collect::<Vec<_>>().join(", "));
    let outputs = |level| {
        with_level(level, || {
            let mut outputs = Vec::new();
            for (name, mut session) in all() {
                for case in cases(name, &*session) {
                    case.fill(&mut *session);
                    session.run();
                    for (i, info) in session.output_info().iter().enumerate() {
                        outputs.push((
                            format!("{}: {}", case.folder, info.name),
                            session.output_bytes(i).to_vec(),
                        ));
                    }
                }
            }
            outputs
        })
    };
    let mut runs = levels.iter().map(|&level| (level, outputs(level)));
    let Some((first, reference)) = runs.next() else { return };
    for (level, run) in runs {
        for ((place, want), (_, got)) in reference.iter().zip(&run) {
            assert!(want == got, "{place}: {} and {} differ", first.name(), level.name());
        }
    }
}

#[test]
fn inputs_may_lie_at_any_address() {
    let npz = Npz::open("assets/io/particlenet/case0/inputs.npz").unwrap();
    let inputs = ["points", "features", "mask"].map(|n| npz.array(n).unwrap().values::<f32>().unwrap());
    let mut session = particlenet::Session::new();
    let mut at = |offset: usize| {
        let [points, features, mask] = inputs.each_ref().map(|x| [vec![0.0; offset], x.clone()].concat());
        let (points, features, mask) = (&points[offset..], &features[offset..], &mask[offset..]);
        let outputs = session.infer(
            from_slice(points).unwrap(),
            from_slice(features).unwrap(),
            from_slice(mask).unwrap(),
        );
        outputs.softmax.as_flattened().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let reference = at(0);
    for offset in 1..16 {
        assert_eq!(at(offset), reference, "inputs {offset} floats further");
    }
}
