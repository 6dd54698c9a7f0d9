//! The one error type of the compiler: where in which file, what is wrong, and the way out.
//! Problems are collected and shown together, so that a person mends a model once and not node by node.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A result whose error is one [`Error`] of the compiler, unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How many errors, and how many places of one error, a message spells out before it only counts.
const SHOWN: usize = 20;

/// Where a problem is: as much of file, node and tensor as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The model, or the file of external data, as the user named it.
    pub file: Option<PathBuf>,
    /// The node.
    pub node: Option<NodePlace>,
    /// The tensor's name.
    pub tensor: Option<String>,
}

/// A node as a person finds it: its position in the file, its name, its operator and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePlace {
    /// The position among the nodes of its graph or function, as in the file.
    pub index: usize,
    /// The node's name; often empty.
    pub name: String,
    /// The operator.
    pub op: String,
    /// The operator's domain; empty is `ai.onnx`.
    pub domain: String,
    /// The version of the domain that the model imports, where it imports one.
    pub version: Option<i64>,
    /// The subgraph or the function that the node stands in; `None` is the model's own graph.
    pub scope: Option<String>,
}

/// One problem with its place and, where there is one, the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where. Boxed, so that a `Result` stays small.
    pub place: Box<Place>,
    /// What is wrong: what was expected and what was found.
    pub problem: String,
    /// What the user can do about it.
    pub help: Option<String>,
    /// The extents of operands do not fit each other: a run of the model that came here would fail anywhere.
    pub misfit: bool,
}

impl Error {
    /// A problem without a place; whoever knows the place adds it on the way up.
    pub fn new(problem: impl Into<String>) -> Self {
        Error { place: Box::default(), problem: problem.into(), help: None, misfit: false }
    }

    /// A problem of extents that do not fit each other or the operator: there is no way to run the node on them.
    pub fn misfit(problem: impl Into<String>) -> Self {
        Error { misfit: true, ..Error::new(problem) }
    }

    /// Says what the user can do. The first help given stays.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// Names the node. The first node given stays, since it is the innermost.
    #[must_use]
    pub fn at_node(mut self, node: impl Into<NodePlace>) -> Self {
        self.place.node.get_or_insert_with(|| node.into());
        self
    }

    /// Names the tensor. The first tensor given stays.
    #[must_use]
    pub fn at_tensor(mut self, tensor: impl Into<String>) -> Self {
        self.place.tensor.get_or_insert_with(|| tensor.into());
        self
    }

    /// Names the file. The first file given stays.
    #[must_use]
    pub fn in_file(mut self, file: impl AsRef<Path>) -> Self {
        self.place.file.get_or_insert_with(|| file.as_ref().to_path_buf());
        self
    }
}

impl fmt::Display for NodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node #{}", self.index)?;
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        if !self.op.is_empty() {
            let dot = if self.domain.is_empty() { "" } else { "." };
            write!(f, " ({}{dot}{}", self.domain, self.op)?;
            match self.version {
                Some(version) => write!(f, "-{version})")?,
                None => f.write_str(")")?,
            }
        }
        match &self.scope {
            Some(scope) => write!(f, " in {scope}"),
            None => Ok(()),
        }
    }
}

impl Place {
    /// Node and tensor, without the file; empty when neither is known.
    fn inside(&self) -> String {
        let node = self.node.as_ref().map(NodePlace::to_string);
        let tensor = self.tensor.as_ref().map(|t| format!("tensor {t:?}"));
        node.into_iter().chain(tensor).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error")?;
        if let Some(file) = &self.place.file {
            write!(f, " in {}", file.display())?;
        }
        let inside = self.place.inside();
        if !inside.is_empty() {
            write!(f, ": {inside}")?;
        }
        write!(f, ": {}", indented(&self.problem, "  "))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {}", indented(help, "        ")),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Everything that is wrong with a model; never empty where it is an `Err`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(pub Vec<Error>);

impl Errors {
    /// No problem yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a problem.
    pub fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    /// Keeps a result's error and gives back its value, so that the caller can go on to the next problem.
    pub fn keep<T>(&mut self, result: Result<T, impl Into<Errors>>) -> Option<T> {
        result.map_err(|errors| self.0.extend(errors.into().0)).ok()
    }

    /// Names the file in every problem that has none.
    #[must_use]
    pub fn in_file(self, file: impl AsRef<Path>) -> Self {
        Errors(self.0.into_iter().map(|e| e.in_file(&file)).collect())
    }

    /// The value, if nothing was wrong.
    pub fn into_result<T>(self, value: T) -> Result<T, Errors> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Errors(vec![error])
    }
}

impl Extend<Error> for Errors {
    fn extend<I: IntoIterator<Item = Error>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The same problem at several places of a file.
struct Group<'e> {
    first: &'e Error,
    places: Vec<String>,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return one.fmt(f);
        }
        let mut files: Vec<Option<&PathBuf>> = Vec::new();
        for error in &self.0 {
            if !files.contains(&error.place.file.as_ref()) {
                files.push(error.place.file.as_ref());
            }
        }
        for (i, file) in files.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            let here: Vec<&Error> = self.0.iter().filter(|e| e.place.file.as_ref() == *file).collect();
            match here.len() {
                1 => write!(f, "{newline}1 error")?,
                n => write!(f, "{newline}{n} errors")?,
            }
            match file {
                Some(file) => write!(f, " in {}:", file.display())?,
                None => f.write_str(":")?,
            }
            let mut groups: Vec<Group<'_>> = Vec::new();
            let mut known: HashMap<_, usize> = HashMap::new();
            for error in here {
                let group = *known.entry((&error.problem, &error.help)).or_insert_with(|| {
                    groups.push(Group { first: error, places: Vec::new() });
                    groups.len() - 1
                });
                groups[group].places.push(error.place.inside());
            }
            for group in groups.iter().take(SHOWN) {
                group.fmt(f)?;
            }
            if let Some(more) = groups.len().checked_sub(SHOWN).filter(|n| *n > 0) {
                write!(f, "\n  and {more} other kinds of problem")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = indented(&self.first.problem, "    ");
        match self.places.as_slice() {
            [place] if place.is_empty() => write!(f, "\n  {problem}")?,
            [place] => write!(f, "\n  {place}: {problem}")?,
            places => {
                write!(f, "\n  {problem}")?;
                for place in places.iter().take(SHOWN).filter(|p| !p.is_empty()) {
                    write!(f, "\n    at {place}")?;
                }
                if let Some(more) = places.len().checked_sub(SHOWN).filter(|n| *n > 0) {
                    write!(f, "\n    and at {more} other places")?;
                }
            }
        }
        match &self.first.help {
            Some(help) => write!(f, "\n    help: {}", indented(help, "          ")),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Errors {}

/// Text of several lines, each after the first moved right.
fn indented(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv() -> NodePlace {
        NodePlace {
            index: 12,
            name: "conv1".into(),
            op: "Conv".into(),
            version: Some(11),
            ..NodePlace::default()
        }
    }

    #[test]
    fn one_error_reads_like_a_sentence() {
        let error = Error::new("expected 4 dimensions, found 3")
            .help("export the model again")
            .at_node(conv())
            .at_tensor("w")
            .in_file("models/x.onnx");
        let text = "error in models/x.onnx: node #12 \"conv1\" (Conv-11), tensor \"w\": \
                    expected 4 dimensions, found 3\n  help: export the model again";
        assert_eq!(error.to_string(), text);
        assert_eq!(Errors::from(error).to_string(), text);
    }

    #[test]
    fn the_innermost_place_stays() {
        let inner = NodePlace { scope: Some("then_branch of node #3".into()), ..conv() };
        let error = Error::new("p").at_node(inner.clone()).at_node(conv()).at_tensor("a").at_tensor("b");
        assert_eq!(error.place.node, Some(inner));
        assert_eq!(
            error.to_string(),
            "error: node #12 \"conv1\" (Conv-11) in then_branch of node #3, tensor \"a\": p"
        );
    }

    #[test]
    fn equal_problems_are_shown_once() {
        let node =
            |index| NodePlace { index, op: "Foo".into(), domain: "acme".into(), ..NodePlace::default() };
        let mut errors = Errors::new();
        errors.push(Error::new("not supported").help("write it yourself").at_node(node(1)));
        errors.push(Error::new("the graph has no output"));
        errors.push(Error::new("not supported").help("write it yourself").at_node(node(7)));
        let text = "3 errors in m.onnx:\n  not supported\n    at node #1 (acme.Foo)\n    at node #7 (acme.Foo)\n    \
                    help: write it yourself\n  the graph has no output";
        assert_eq!(errors.in_file("m.onnx").to_string(), text);
    }

    #[test]
    fn long_lists_are_counted() {
        let mut errors = Errors::new();
        for index in 0..50 {
            errors.push(Error::new("same").at_node(NodePlace { index, ..NodePlace::default() }));
            errors.push(Error::new(format!("other {index}")));
        }
        let text = errors.to_string();
        assert!(text.starts_with("100 errors:\n  same\n    at node #0\n"), "{text}");
        assert!(text.contains("    and at 30 other places\n"), "{text}");
        assert!(text.ends_with("\n  and 31 other kinds of problem"), "{text}");
    }

    #[test]
    fn keeping_errors_goes_on() {
        let mut errors = Errors::new();
        assert_eq!(errors.keep(Ok::<_, Error>(3)), Some(3));
        assert_eq!(errors.keep(Err::<u8, _>(Error::new("bad"))), None);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors.into_result(()).unwrap_err().0[0].problem, "bad");
    }
}
