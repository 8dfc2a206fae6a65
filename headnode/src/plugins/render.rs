//! Templates over what plugins are told: minijinja, strict. A value with a control character in it is refused: it would
//! begin a line of its own in a file that other programs obey.

use anyhow::{Context as _, Result, anyhow};
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, State, UndefinedBehavior, Value};
use serde_json::Value as Json;

/// What a template may do: some hundreds of steps a node. A loop without end is stopped.
const FUEL: u64 = 40_000_000;

/// A template that was read.
pub struct Template<'a> {
    name: &'a str,
    environment: Environment<'a>,
}

impl<'a> Template<'a> {
    /// Reads it; `name` is for messages.
    ///
    /// # Errors
    /// When it is none, and where.
    pub fn new(name: &'a str, text: &'a str) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_keep_trailing_newline(true);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(one_line);
        environment.add_test("word", is_word);
        environment.add_template("it", text).map_err(|error| told(name, &error))?;
        Ok(Self { name, environment })
    }

    /// Its text for `input`, and, if it is for one node, for that one (`node`).
    ///
    /// # Errors
    /// When it asks for what is not there.
    pub fn render(&self, input: &Json, node: Option<&Json>) -> Result<String> {
        let mut context = input.as_object().context("what a plugin is told is a JSON object")?.clone();
        context.extend(node.map(|node| ("node".to_owned(), node.clone())));
        let template = self.environment.get_template("it")?;
        template.render(context).map_err(|error| told(self.name, &error))
    }
}

fn told(name: &str, error: &minijinja::Error) -> anyhow::Error {
    let line = error.line().map_or_else(String::new, |line| format!(":{line}"));
    anyhow!("{name}{line}: {error}")
}

fn one_line(
    out: &mut minijinja::Output<'_>,
    _state: &State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        let message = "a value that is not there is printed: ask `if` first";
        return Err(minijinja::Error::new(ErrorKind::UndefinedError, message));
    }
    let text = value.to_string();
    if value.kind() == ValueKind::String && text.chars().any(char::is_control) {
        let message = format!("{text:?} has a control character");
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, message));
    }
    out.write_str(&text).map_err(minijinja::Error::from)
}

/// Whether a text is one word in any of our files: no blanks, commas, quotes, `#`, `=`, `\`.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || ",'\"#=\\;".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str, input: &Json) -> Result<String> {
        Template::new("t", text)?.render(input, None)
    }

    #[test]
    fn values_stay_on_their_line() {
        assert_eq!(render("{{ a }}\n", &json!({"a": "x"})).unwrap(), "x\n");
        let said = render("a\n{{ a }}\n", &json!({"a": "x\ny"})).unwrap_err().to_string();
        assert!(said.contains("has a control character"), "{said}");
        assert!(render("{{ b }}", &json!({})).is_err());
        assert!(render("{{ a }}", &json!({"a": null})).is_err(), "no `none` in a file");
        assert!(
            render(
                "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
                &json!({})
            )
            .is_err()
        );
        assert!(Template::new("t", "{% if %}").is_err());
        assert_eq!(render("{% if a is word %}{{ a }}{% endif %}", &json!({"a": "x y"})).unwrap(), "");
    }
}
