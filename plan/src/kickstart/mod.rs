//! The kickstart of a package install: facts + NII -> text that stock anaconda installs from without a question.
//!
//! The commands are made here, each block of them in the module of its subject; their order and what is the same for
//! every node stands in a [template](DEFAULT_TEMPLATE) that a site may replace. What differs between releases is
//! `release`'s table. docs/package-flow.md describes a template's context, and what of anaconda this relies on.
//!
//! To add a command: a line in the module of its subject, or in the template if no field of the NII decides it.

mod network;
mod release;
mod scripts;
mod software;
mod storage;
mod system;
mod template;
mod words;

use minijinja::{Value, context};
use nii::v1::Package;
use nii::{Finding, Nii};
use uuid::Uuid;

use crate::complete;
use crate::facts::Facts;
use release::Words;

/// The template of nodes whose NII names none.
pub const DEFAULT_TEMPLATE: &str = include_str!("default.ks.j2");

/// All that a kickstart is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The machine, as it was before anything was partitioned.
    pub facts: &'a Facts,
    /// What it is to become; validated, with a `package` section. Its secrets are not read.
    pub nii: &'a Nii,
    /// The admin's act: decides GUIDs, as in the plan that partitions.
    pub arming: Uuid,
}

/// A kickstart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The file. It holds no secret.
    pub text: String,
    /// What is worth a look and stops nothing.
    pub warnings: Vec<Finding>,
}

/// Renders the kickstart, by camphor's template or the site's own.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn render(inputs: &Inputs<'_>, template: Option<&str>) -> Result<Rendered, Vec<Finding>> {
    let nii = complete::document(inputs.facts, inputs.nii);
    let inputs = &Inputs { nii: &nii, ..*inputs };
    let Some(package) = &inputs.nii.package else {
        return Err(vec![Finding::error("package", "is absent: a package install needs it")]);
    };
    let mut findings = Vec::new();
    let out = &mut findings;
    let public = Value::from_serialize(inputs.nii.public());
    words::unquotable("", &public, out);
    system::check(package, &inputs.facts.arch, out);
    let Some(release) = release::find(&package.os, out) else { return Err(findings) };
    let storage = storage::render(inputs.facts, inputs.nii, inputs.arming, release.words, out);
    let begin = scripts::begin(&inputs.nii.scripts, &storage.replaced);
    let end = scripts::end();
    let ends = [begin.as_str(), end.as_str()];
    let lines = lines(inputs, package, release.words, (&storage, ends), out);
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    let context = context! { nii => public, release, lines };
    match template::render(template.unwrap_or(DEFAULT_TEMPLATE), context) {
        Ok(text) => finished(text, ends, findings),
        Err(message) => {
            findings.push(Finding::error("package.template", message));
            Err(findings)
        }
    }
}

/// The blocks of commands that a template can print.
fn lines(
    inputs: &Inputs<'_>,
    package: &Package,
    words: Words,
    (storage, [begin, end]): (&storage::Rendered, [&str; 2]),
    out: &mut Vec<Finding>,
) -> Value {
    let Inputs { facts, nii, .. } = *inputs;
    // A block's last line end is the template's, so that a block stands on a line of its own.
    let block = |text: &str| Value::from_safe_string(text.trim_end_matches('\n').to_owned());
    context! {
        source => block(&software::source(package)),
        language => block(&system::language(&nii.locale)),
        time => block(&system::time(&nii.locale, words)),
        network => block(&network::render(facts, &nii.network, words, out)),
        accounts => block(&system::accounts(&nii.root, &package.users)),
        security => block(&system::security(package)),
        bootloader => block(&system::bootloader(&nii.boot, storage.boot_drive.as_deref())),
        storage => block(&storage.text),
        after => block(&system::after(&nii.install)),
        packages => block(&software::packages(package)),
        begin => block(begin),
        extra => block(&scripts::extra(&package.extra, out)),
        end => block(end),
    }
}

/// Looks at both ends: without them nobody would report or finish, and after the last nothing may run.
fn finished(
    text: String,
    [begin, end]: [&str; 2],
    mut findings: Vec<Finding>,
) -> Result<Rendered, Vec<Finding>> {
    let before = text.trim_end().strip_suffix(end.trim_end());
    let message = match before.map(scripts::open_section) {
        None => "must end with `{{ lines.end }}`: it finishes the install and reports it".to_owned(),
        Some(Some(section)) => format!("its section `{section}` has no `%end`"),
        Some(None) if text.lines().any(|line| line.starts_with("%ksappend")) => {
            "has `%ksappend`: nobody would check what is fetched; use `%include` of a file that a script makes".to_owned()
        }
        Some(None) if !text.contains(begin) => {
            "has no `{{ lines.begin }}`: it reports the begin and runs the site's `pre` scripts".to_owned()
        }
        Some(None) => return Ok(Rendered { text, warnings: findings }),
    };
    findings.push(Finding::error("package.template", message));
    Err(findings)
}
