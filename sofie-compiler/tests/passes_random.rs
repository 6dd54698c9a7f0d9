//! Every pass on random graphs: it keeps what they mean, and its own result as it is.

use sofie_infer_compiler::ir::random::passes_keep_meaning;
use sofie_infer_compiler::passes::{PASSES, optimize};

/// Graphs a pass; `SOFIE_RANDOM` asks for more.
fn count() -> u64 {
    std::env::var("SOFIE_RANDOM").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

#[test]
fn each_pass_keeps_the_meaning() {
    for pass in PASSES {
        println!("{}", pass.name);
        passes_keep_meaning(count(), pass.run, 2e-4);
    }
}

#[test]
fn all_passes_keep_the_meaning() {
    passes_keep_meaning(count(), |g| optimize(g.clone(), None), 2e-4);
}
