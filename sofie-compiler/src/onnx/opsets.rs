//! Versions: of the file format, and of the operator sets that a model or a function imports.
//! The oldest operator sets are accepted here; whether an operator's old version is known is for `ops`.

use std::collections::BTreeMap;

use super::model::{Opsets, canonical};
use super::proto::OperatorSetIdProto;
use crate::error::{Error, Result};

/// The newest version known of each of ONNX's own domains.
const NEWEST: &[(&str, i64)] = &[("", 28), ("ai.onnx.ml", 6)];

/// Checks the version of the file format.
///
/// # Errors
/// It is before 3 (2017, without operator sets) or after 14.
pub(super) fn check_ir_version(version: i64) -> Result<()> {
    match version {
        3..=14 => Ok(()),
        ..3 => Err(Error::new(format!("IR version {version} is too old; 3 to 14 are supported"))
            .help("convert the model with `onnx.version_converter`, or export it again")),
        _ => Err(Error::new(format!("IR version {version} is not known; 3 to 14 are supported"))
            .help("export the model with an older version of the onnx package, or the file is damaged")),
    }
}

/// The operator sets of a model or a function.
///
/// # Errors
/// A domain is imported in two versions, or in one that is not known.
pub(super) fn opsets(imports: &[OperatorSetIdProto]) -> Result<Opsets> {
    let mut opsets = BTreeMap::new();
    for import in imports {
        let (domain, version) = (canonical(import.domain()), import.version());
        let shown = if domain.is_empty() { "ai.onnx" } else { domain };
        let newest = NEWEST.iter().find(|(d, _)| *d == domain).map_or(i64::MAX, |(_, newest)| *newest);
        if version < 1 {
            return Err(
                Error::new(format!("opset {version} of {shown} is no version")).help("the file is damaged")
            );
        }
        if version > newest {
            return Err(Error::new(format!("opset {version} of {shown} is not known; 1 to {newest} are"))
                .help(format!("export the model with an opset version of at most {newest}")));
        }
        match opsets.insert(domain.to_owned(), version) {
            Some(other) if other != version => {
                return Err(Error::new(format!(
                    "{shown} is imported as opset {other} and as opset {version}"
                ))
                .help("a model can import one version of each domain"));
            }
            _ => {}
        }
    }
    Ok(Opsets(opsets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(list: &[(&str, i64)]) -> Result<Opsets> {
        let one = |(domain, version): &(&str, i64)| OperatorSetIdProto {
            domain: Some((*domain).into()),
            version: Some(*version),
        };
        opsets(&list.iter().map(one).collect::<Vec<_>>())
    }

    #[test]
    fn ai_onnx_is_the_empty_domain() {
        let opsets = imports(&[("ai.onnx", 17), ("", 17), ("com.microsoft", 1), ("ai.onnx.ml", 3)]).unwrap();
        assert_eq!(opsets.version(""), Some(17));
        assert_eq!(opsets.version("ai.onnx"), Some(17));
        assert_eq!(opsets.version("acme"), None);
        assert_eq!(opsets.iter().collect::<Vec<_>>(), [("", 17), ("ai.onnx.ml", 3), ("com.microsoft", 1)]);
    }

    #[test]
    fn contradictions_and_unknown_versions_are_errors() {
        assert!(
            imports(&[("ai.onnx", 17), ("", 18)]).unwrap_err().problem.contains("opset 17 and as opset 18")
        );
        for (version, good) in [(0, false), (1, true), (28, true), (29, false), (-1, false)] {
            assert_eq!(imports(&[("", version)]).is_ok(), good, "{version}");
        }
        for (version, good) in [(2, false), (3, true), (14, true), (15, false), (i64::MIN, false)] {
            assert_eq!(check_ir_version(version).is_ok(), good, "{version}");
        }
    }
}
