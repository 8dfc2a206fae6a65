//! The template's language: minijinja, strict. What it prints is quoted, but for `lines`, which are commands already.

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

use super::words::quote;

/// Steps of the template's engine; a template that loops for ever ends here.
const FUEL: u64 = 1_000_000;

/// Renders `template` with `context`.
///
/// # Errors
/// What is wrong with the template, with its line, for a person.
pub(super) fn render(template: &str, context: Value) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out, _, value| {
        let text = match value.kind() {
            ValueKind::String if value.is_safe() => value.to_string(),
            ValueKind::String => quote(value.as_str().unwrap_or_default()),
            ValueKind::Number | ValueKind::Bool => value.to_string(),
            kind => {
                let message = format!("prints a value that is {kind}, where a word must be");
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, message));
            }
        };
        out.write_str(&text).map_err(minijinja::Error::from)
    });
    // A template has no way to call its own output a command: `safe` would let a value break out of its word.
    environment.remove_filter("safe");
    environment.remove_filter("escape");
    environment.remove_filter("e");
    environment.add_template("kickstart", template).map_err(|error| describe(&error))?;
    let template = environment.get_template("kickstart").map_err(|error| describe(&error))?;
    template.render(context).map_err(|error| describe(&error))
}

fn describe(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{line}{}: {detail}", error.kind()),
        None => format!("{line}{}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let nii = context! { name => "a b", list => ["x", "y z"], number => 3, evil => "'; rm #" };
        render(
            template,
            context! { nii, lines => context! { x => Value::from_safe_string("part /\n".into()) } },
        )
    }

    #[test]
    fn values_are_words() {
        assert_eq!(rendered("user --name={{ nii.name }}\n").as_deref(), Ok("user --name='a b'\n"));
        assert_eq!(rendered("{{ nii.evil }}").as_deref(), Ok(r#"''"'"'; rm #'"#));
        assert_eq!(rendered("{{ nii.list | join(',') }} {{ nii.number }}").as_deref(), Ok("'x,y z' 3"));
        assert_eq!(rendered("{{ lines.x }}").as_deref(), Ok("part /\n"));
        assert_eq!(rendered("{{ lines.x ~ nii.name }}").as_deref(), Ok("'part /\na b'"));
    }

    #[test]
    fn nothing_is_taken_for_granted() {
        for (template, said) in [
            ("x\n{{ nii.nmae }}", "line 2: undefined value"),
            ("{{ nii.list }}", "sequence"),
            ("{{ nii.name | safe }}", "unknown filter"),
            (
                "{% for x in range(100000) %}{% for y in range(100000) %}{{ y }}{% endfor %}{% endfor %}",
                "fuel",
            ),
            ("{% if %}", "line 1"),
        ] {
            let error = rendered(template).unwrap_err();
            assert!(error.contains(said), "{template}: {error}");
        }
    }
}
