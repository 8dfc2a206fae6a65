//! `plan`: what an install would do to a node's disks, going by the facts that the node reported last.

use ::plan::{Facts, Inputs, Summary, install, package, summary};
use anyhow::{Context as _, Result, bail, ensure};
use nii::v1::InstallType;
use nii::{Finding, Nii, Strictness};
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Context;
use super::image::manifest;
use crate::cli::Output;
use crate::recipe::{Form, Recipe};
use crate::{clock, output};

/// Prints what is lost, kept and made, or why it cannot be.
///
/// # Errors
/// When the node never reported facts, or its install would be refused; that is printed.
pub async fn plan(context: &Context, name: &str) -> Result<()> {
    let node = context.node(name).await?;
    // Ids of what is made differ with it, and nothing else.
    let arming = Uuid::nil();
    let Some((at, facts)) = context.store.last_facts(node.id).await? else {
        bail!("{name} never reported its facts: it does so in the step `preflight` of each attempt");
    };
    let facts: Facts =
        serde_json::from_value(facts).with_context(|| format!("reading the facts of {name}"))?;
    // With its secrets: what the node would miss is said, and nothing else of them is.
    let text = Zeroizing::new(Recipe::of(&context.store, node).await?.nii(Form::WithSecrets(Vec::new()))?);
    let (nii, mut findings) = nii::read(text.as_bytes(), Strictness::Lenient)?;
    ensure!(nii.install.kind != InstallType::Diskless, "{name} is diskless: no disk is written");
    findings.extend(planned(context, &facts, &nii, arming)?);
    show(context.output, &clock::text(at), &summary(&facts, &nii.storage, arming), &findings)?;
    ensure!(!findings.iter().any(Finding::is_error), "{name} would refuse this install, and touch nothing");
    Ok(())
}

/// All that the node would say against it.
fn planned(context: &Context, facts: &Facts, nii: &Nii, arming: Uuid) -> Result<Vec<Finding>> {
    let attempt = Uuid::nil();
    let plan = match &nii.image {
        Some(image) => {
            let manifest = manifest(context, &image.manifest)?;
            install::disked(&Inputs { facts, nii, manifest: &manifest, arming, attempt })
        }
        None => package::prepare(&package::Inputs { facts, nii, arming, attempt, head: None }),
    };
    Ok(plan.map_or_else(|findings| findings, |plan| plan.warnings))
}

fn show(how: Output, at: &str, summary: &Summary, findings: &[Finding]) -> Result<()> {
    match how {
        Output::Table => {
            let findings: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
            output::text(&format!("as the node was at {at}\n{summary}{findings}"))
        }
        Output::Json | Output::Yaml => {
            output::data(how, &json!({"facts_at": at, "summary": summary, "findings": findings}))
        }
    }
}
