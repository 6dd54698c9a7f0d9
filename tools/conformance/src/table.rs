//! CSV as the suite's tables and our results are written: a header, fields with commas or quotes in double quotes.

use std::collections::HashMap;
use std::path::Path;

/// Rows by `kind/name`, each a map from column to field.
pub type Table = HashMap<String, HashMap<String, String>>;

/// The rows of a table that has the columns `kind` and `name`.
pub fn read(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut lines = text.lines();
    let header = fields(lines.next().unwrap_or_default());
    let mut table = Table::new();
    for line in lines.filter(|l| !l.is_empty()) {
        let row: HashMap<_, _> = header.iter().cloned().zip(fields(line)).collect();
        if let (Some(kind), Some(name)) = (row.get("kind"), row.get("name")) {
            table.insert(format!("{kind}/{name}"), row);
        }
    }
    Ok(table)
}

/// The fields of a line.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

/// A field as it stands in a file.
pub fn quote(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_back() {
        for field in ["plain", "a,b", "say \"so\", twice", ""] {
            assert_eq!(fields(&format!("x,{},y", quote(field))), ["x", field, "y"]);
        }
    }
}
