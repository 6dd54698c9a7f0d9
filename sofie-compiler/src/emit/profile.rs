//! What a module says of its steps where their time is taken: names and arithmetic, and the session's methods.

use crate::plan::{Plan, Step};
use proc_macro2::{Literal, TokenStream};
use quote::quote;

/// What is known of each step while compiling.
pub fn table(plan: &Plan) -> TokenStream {
    let step = |step: &Step| {
        let (kernel, nodes, cost) = (step.kernel.name(), step.origin.join(" + "), step.cost());
        let flop = Literal::u64_unsuffixed(cost.flop);
        let bytes = Literal::u64_unsuffixed(cost.read_bytes.saturating_add(cost.written_bytes));
        quote!(rt::profile::Step { kernel: #kernel, nodes: #nodes, flop: #flop, bytes: #bytes })
    };
    let steps = plan.steps.iter().map(step);
    quote!(static STEPS: &[rt::profile::Step] = &[#(#steps),*];)
}

/// The session's methods.
pub fn methods() -> TokenStream {
    quote! {
        /// Calls and time of each step since the session was made or the profile was cleared.
        pub fn profile(&self) -> &rt::profile::Profile {
            &self.profile
        }

        /// Forgets what was measured so far.
        pub fn clear_profile(&mut self) {
            self.profile.clear();
        }
    }
}
