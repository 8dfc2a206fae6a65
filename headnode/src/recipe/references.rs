//! What a document names: images, netboots, scripts. Found in the store, or a finding.

use anyhow::Result;
use nii::Finding;
use nii::digest::Digest;
use nii::v1::{self, Remote};

use crate::document::Document;
use crate::scripts;
use crate::store::Store;
use crate::store::inventory::Netboot;
use crate::store::package::Script;

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct References {
    /// Digest of the image's manifest.
    pub image: Option<Digest>,
    /// Kernel and initrd.
    pub netboot: Option<Netboot>,
    /// The scripts, as the NII has them.
    pub scripts: Vec<v1::Script>,
    /// The kickstart's template.
    pub template: Option<Remote>,
}

impl References {
    /// Looks them up.
    ///
    /// # Errors
    /// When the store cannot be read. What is not there becomes a finding.
    pub async fn find(store: &Store, document: &Document, out: &mut Vec<Finding>) -> Result<Self> {
        let mut image = None;
        if let Some(wanted) = &document.image {
            image = store.images().await?.into_iter().find(|image| image.name == wanted.name);
            if image.is_none() {
                let message = format!(
                    "there is no image `{}`: see `headnode image import` and `image list`",
                    wanted.name
                );
                out.push(Finding::error("image.name", message));
            }
        }
        let mut netboot = None;
        if let Some(wanted) = &document.netboot {
            netboot = store.netboots().await?.into_iter().find(|netboot| netboot.name == *wanted);
            if netboot.is_none() {
                let message =
                    format!("there is no netboot `{wanted}`: see `headnode netboot add` and `netboot list`");
                out.push(Finding::error("netboot", message));
            }
        }
        let stored = store.scripts().await?;
        let mut scripts = Vec::new();
        for (i, wanted) in document.scripts.iter().enumerate() {
            if let Some(found) = script(&stored, &wanted.name, || format!("scripts[{i}].name"), out) {
                if wanted.interpreter.is_none() && !found.program {
                    let message =
                        "needs an `interpreter`: its first line does not say what runs it (`#!/bin/sh`)";
                    out.push(Finding::error(format!("scripts[{i}]"), message));
                }
                let digest = found.digest;
                scripts.push(v1::Script {
                    name: wanted.name.clone(),
                    phase: wanted.phase,
                    url: url(&digest),
                    digest,
                    interpreter: wanted.interpreter.clone(),
                });
            }
        }
        let template = document.package.as_ref().and_then(|package| package.template.as_ref());
        let template = template.and_then(|name| script(&stored, name, || "package.template".into(), out));
        let template = template.map(|found| Remote { url: url(&found.digest), digest: found.digest });
        Ok(Self { image: image.map(|image| image.digest), netboot, scripts, template })
    }
}

fn script<'a>(
    stored: &'a [Script],
    name: &str,
    path: impl Fn() -> String,
    out: &mut Vec<Finding>,
) -> Option<&'a Script> {
    let found = stored.iter().find(|script| script.name == name);
    if found.is_none() {
        let message = format!("there is no script `{name}`: see `headnode script add` and `script list`");
        out.push(Finding::error(path(), message));
    }
    found
}

fn url(digest: &Digest) -> String {
    format!("{}/{digest}", scripts::PATH)
}
