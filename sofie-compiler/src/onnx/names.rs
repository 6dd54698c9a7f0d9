//! Tensor names while a model is read: which name means which tensor where (scopes nest like the
//! graphs do), and fresh names, so that every tensor of the model ends up with a name of its own.

use std::collections::HashMap;

use super::model::TensorName;

/// Every name given out so far, with how many copies were made of it.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<TensorName, u32>);

impl Names {
    /// `base`, or the first of `base.1`, `base.2`, … that is free.
    pub(super) fn fresh(&mut self, base: &str) -> TensorName {
        let mut name = TensorName::from(base);
        while self.0.contains_key(&name) {
            // Counting on `base` keeps many copies of one name linear.
            let copies = self.0.entry(base.into()).or_default();
            *copies += 1;
            name = format!("{base}.{copies}").into();
        }
        self.0.insert(name.clone(), 0);
        name
    }
}

/// What the names of one graph or function mean. A function sees nothing of what is around its call.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    names: HashMap<&'a str, Option<TensorName>>,
    outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// An empty scope inside `outer`.
    pub(super) fn inside(outer: Option<&'a Scope<'a>>) -> Self {
        Scope { names: HashMap::new(), outer }
    }

    /// Gives `name` a meaning here; `None` is an operand that the caller left out. Says whether the
    /// name had no meaning in this very scope before.
    pub(super) fn define(&mut self, name: &'a str, meaning: Option<TensorName>) -> bool {
        self.names.insert(name, meaning).is_none()
    }

    /// What `name` means in this very scope.
    pub(super) fn here(&self, name: &str) -> Option<&Option<TensorName>> {
        self.names.get(name)
    }

    /// What `name` means, here or further out; `None` where it is not defined.
    pub(super) fn lookup(&self, name: &str) -> Option<&Option<TensorName>> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(meaning) = here.names.get(name) {
                return Some(meaning);
            }
            scope = here.outer;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_names_are_distinct() {
        let mut names = Names::default();
        let given: Vec<String> =
            ["x", "x.1", "x", "x", "", "", "x.1"].iter().map(|base| names.fresh(base).to_string()).collect();
        assert_eq!(given, ["x", "x.1", "x.2", "x.3", "", ".1", "x.1.1"]);
    }

    #[test]
    fn inner_names_hide_outer_ones() {
        let mut outer = Scope::default();
        assert!(outer.define("a", Some("a".into())) && outer.define("b", None));
        assert!(!outer.define("a", Some("a".into())));
        let mut inner = Scope::inside(Some(&outer));
        assert!(inner.define("a", Some("a.1".into())));
        assert_eq!(inner.lookup("a"), Some(&Some("a.1".into())));
        assert_eq!(inner.lookup("b"), Some(&None));
        assert_eq!((inner.lookup("c"), inner.here("b")), (None, None));
    }
}
