//! What a node of the model says beside its tensors, as a user's own operator is given it.

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute {
    /// `INT`.
    Int(i64),
    /// `FLOAT`.
    Float(f32),
    /// `STRING`.
    String(&'static str),
    /// `INTS`.
    Ints(&'static [i64]),
    /// `FLOATS`.
    Floats(&'static [f32]),
    /// `STRINGS`.
    Strings(&'static [&'static str]),
}

/// A node's attributes by name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attributes(&'static [(&'static str, Attribute)]);

impl Attributes {
    /// The attributes with these names.
    #[must_use]
    pub const fn new(attributes: &'static [(&'static str, Attribute)]) -> Attributes {
        Attributes(attributes)
    }

    /// All of them, as the file has them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Attribute)> {
        self.0.iter().copied()
    }

    /// The attribute of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Attribute> {
        self.iter().find(|(n, _)| *n == name).map(|(_, a)| a)
    }
}

/// One getter for each kind; an attribute of another kind is not there.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $ty:ty;)*) => {
        impl Attributes {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self, name: &str) -> Option<$ty> {
                match self.get(name) {
                    Some(Attribute::$variant(value)) => Some(value),
                    _ => None,
                }
            })*
        }
    };
}

getters! {
    /// The integer of that name.
    int: Int -> i64;
    /// The number of that name.
    float: Float -> f32;
    /// The text of that name.
    string: String -> &'static str;
    /// The integers of that name.
    ints: Ints -> &'static [i64];
    /// The numbers of that name.
    floats: Floats -> &'static [f32];
    /// The texts of that name.
    strings: Strings -> &'static [&'static str];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_name_and_kind() {
        static ALL: Attributes =
            Attributes::new(&[("width", Attribute::Int(3)), ("taps", Attribute::Floats(&[0.5, 0.25]))]);
        assert_eq!((ALL.int("width"), ALL.float("width"), ALL.int("depth")), (Some(3), None, None));
        assert_eq!(ALL.floats("taps"), Some(&[0.5, 0.25][..]));
        assert_eq!(ALL.iter().count(), 2);
    }
}
