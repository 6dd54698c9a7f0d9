//! What a command has to say, as text with styles and as JSON, and how it is printed. `anstream` takes the styles out
//! where standard output is no terminal or `NO_COLOR` is set.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;
use serde_json::{Value, json};
use sofie_infer_compiler::error::{Error, Errors};

/// Titles.
pub const TITLE: Style = Style::new().bold().underline();
/// Names of models, tensors, operators.
pub const NAME: Style = AnsiColor::Cyan.on_default();
/// What is well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is not.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();

/// `--help` in the same colours.
pub const HELP_STYLES: Styles = Styles::styled()
    .header(TITLE)
    .usage(TITLE)
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(NAME);

/// Text in a style.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// What a command found.
#[derive(Clone, Debug)]
pub struct Answer {
    /// For a person, without a line break at the end.
    pub text: String,
    /// For a program.
    pub json: Value,
    /// Whether all is well: exit status 0, else 1.
    pub good: bool,
}

impl Answer {
    /// Prints the answer.
    pub fn print(&self, json: bool) -> ExitCode {
        print(if json { pretty(&self.json) } else { self.text.clone() });
        ExitCode::from(u8::from(!self.good))
    }
}

/// Why a command found nothing.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The model is refused: exit status 1.
    Refused(Errors),
    /// Anything else, with what to do about it: exit status 2.
    Other(String),
}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Failure {
        Failure::Refused(Errors(errors.into_iter().map(spoken).collect()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Errors::from(error).into()
    }
}

/// The compiler's error as one of the command line: it speaks of the macro's `dims(batch = 1)`, and here that is
/// `--dims batch=1`; extents that the macro could leave free are fixed here.
pub fn spoken(mut error: Error) -> Error {
    error.problem = as_option(&error.problem);
    error.help = error.help.as_deref().map(|help| match help.split_once(", or leave ") {
        Some((fix, free)) if free.contains("free up to a bound") => as_option(fix),
        _ => as_option(help),
    });
    error
}

fn as_option(text: &str) -> String {
    let Some((before, rest)) = text.split_once("dims(") else { return text.to_owned() };
    let Some((pairs, after)) = rest.split_once(')') else { return text.to_owned() };
    format!("{before}--dims {}{}", pairs.replace(" = ", "=").replace(", ", ","), as_option(after))
}

impl Failure {
    /// Prints the failure: text on standard error, JSON on standard output.
    pub fn print(&self, json: bool) -> ExitCode {
        let (text, list, status) = match self {
            Failure::Refused(errors) => (errors.to_string(), errors.0.iter().map(error_json).collect(), 1),
            Failure::Other(why) => (format!("error: {why}"), vec![json!({ "problem": why })], 2),
        };
        if json {
            print(pretty(&json!({ "errors": list })));
        } else {
            anstream::eprintln!("{}", coloured(&text));
        }
        ExitCode::from(status)
    }
}

/// One problem of a model for a program.
pub fn error_json(error: &Error) -> Value {
    let place = &error.place;
    let node = place.node.as_ref().map(|n| {
        json!({
            "index": n.index, "name": n.name, "op": n.op, "domain": n.domain, "version": n.version, "scope": n.scope,
        })
    });
    json!({
        "file": place.file.as_ref().map(|f| f.display().to_string()),
        "node": node,
        "tensor": place.tensor,
        "problem": error.problem,
        "help": error.help,
    })
}

/// The compiler's message with its first words and every `help:` in colour.
pub fn coloured(text: &str) -> String {
    let help = styled(AnsiColor::Cyan.on_default().bold(), "help:");
    let text = text.replace("  help:", &format!("  {help}"));
    match text.split_once(':') {
        Some((head, rest)) => format!("{BAD}{head}:{BAD:#}{rest}"),
        None => styled(BAD, text),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A reader that closes the pipe early, as `head` does, is no failure.
fn print(text: String) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_macros_syntax_becomes_an_option() {
        assert_eq!(as_option("fix them: dims(a = 1, \"b c\" = 1)"), "fix them: --dims a=1,\"b c\"=1");
        assert_eq!(as_option("dims(x = ..) names no symbol"), "--dims x=.. names no symbol");
        assert_eq!(as_option("nothing"), "nothing");
    }
}
