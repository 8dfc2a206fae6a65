//! What a document names: images, netboots, distributions, scripts. Found in the store, or a finding.

use nii::Finding;
use nii::digest::Digest;
use nii::v1::{self, Remote};

use super::Catalog;
use crate::document::{Defaults, Document};
use crate::scripts;
use crate::store::inventory::{Netboot, Network};
use crate::store::package::Script;

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct References {
    /// Digest of the image's manifest.
    pub image: Option<Digest>,
    /// Kernel and initrd.
    pub netboot: Option<Netboot>,
    /// Kernel and initrd of the rescue system.
    pub rescue: Option<Netboot>,
    /// The scripts, as the NII has them.
    pub scripts: Vec<v1::Script>,
    /// The kickstart's template.
    pub template: Option<Remote>,
}

impl References {
    /// Looks them up. What is not there becomes a finding.
    pub fn find(catalog: &Catalog, document: &Document, out: &mut Vec<Finding>) -> Self {
        let mut scripts = Vec::new();
        for (i, wanted) in document.scripts.iter().enumerate() {
            if let Some(found) = script(catalog, &wanted.name, || format!("scripts[{i}].name"), out) {
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
        let template = template.and_then(|name| script(catalog, name, || "package.template".into(), out));
        let template = template.map(|found| Remote { url: url(&found.digest), digest: found.digest });
        Self {
            image: image(catalog, document, out),
            netboot: netboot(catalog, document.netboot.as_ref(), "netboot", out),
            rescue: netboot(
                catalog,
                document.rescue.as_ref().map(|rescue| &rescue.netboot),
                "rescue.netboot",
                out,
            ),
            scripts,
            template,
        }
    }
}

/// What the os that the document names gives it.
pub(super) fn os(
    catalog: &Catalog,
    document: &Document,
    network: &Network,
    out: &mut Vec<Finding>,
) -> Option<Defaults> {
    let wanted = document.os.as_ref()?;
    let found = catalog.defaults(wanted, network);
    if found.is_none() {
        let message = format!("there is no os `{wanted}`: see `headnode os import` and `os list`");
        out.push(Finding::error("os", message));
    }
    found
}

fn image(catalog: &Catalog, document: &Document, out: &mut Vec<Finding>) -> Option<Digest> {
    let wanted = &document.image.as_ref()?.name;
    let found = catalog.images.get(wanted);
    if found.is_none() {
        let message = format!("there is no image `{wanted}`: see `headnode image import` and `image list`");
        out.push(Finding::error("image.name", message));
    }
    found.copied()
}

fn netboot(
    catalog: &Catalog,
    wanted: Option<&String>,
    path: &str,
    out: &mut Vec<Finding>,
) -> Option<Netboot> {
    let wanted = wanted?;
    let found = catalog.netboots.get(wanted);
    if found.is_none() {
        let message =
            format!("there is no netboot `{wanted}`: see `headnode netboot add` and `netboot list`");
        out.push(Finding::error(path, message));
    }
    found.cloned()
}

fn script<'a>(
    catalog: &'a Catalog,
    name: &str,
    path: impl Fn() -> String,
    out: &mut Vec<Finding>,
) -> Option<&'a Script> {
    let found = catalog.scripts.get(name);
    if found.is_none() {
        let message = format!("there is no script `{name}`: see `headnode script add` and `script list`");
        out.push(Finding::error(path(), message));
    }
    found
}

fn url(digest: &Digest) -> String {
    format!("{}/{digest}", scripts::PATH)
}
