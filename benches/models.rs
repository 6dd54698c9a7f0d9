//! Every model of `assets/`, one inference each: `cargo bench --bench models`.
//!
//! For times beside other engines' use the zoo tool; these show what a change of ours does.

use criterion::Criterion;

#[path = "../tests/assets/models.rs"]
mod models;

fn infer(c: &mut Criterion) {
    let mut group = c.benchmark_group("infer");
    for (name, mut session) in models::all() {
        let case = models::cases(name, &*session).swap_remove(0);
        group.bench_function(name, |b| {
            b.iter(|| {
                case.fill(&mut *session);
                session.run();
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    infer(&mut criterion);
    criterion.final_summary();
}
