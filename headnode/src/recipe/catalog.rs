//! All that recipes are made from, read once: a command over thousands of nodes asks the store a handful of questions.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use nii::digest::Digest;

use super::{HTTP_PORT, Recipe};
use crate::document::{self, Defaults, Source};
use crate::os::Os;
use crate::store::Store;
use crate::store::inventory::{Group, Netboot, Network};
use crate::store::nodes::Node;
use crate::store::package::Script;

/// Networks, images, netboots, distributions, scripts and groups by name.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Networks.
    pub networks: BTreeMap<String, Network>,
    /// Digests of images' manifests.
    pub images: BTreeMap<String, Digest>,
    /// Kernels and initrds.
    pub netboots: BTreeMap<String, Netboot>,
    /// Distributions.
    pub oses: BTreeMap<String, Os>,
    /// The version that each script's name means.
    pub scripts: BTreeMap<String, Script>,
    /// Groups.
    pub groups: BTreeMap<String, Group>,
    /// Port of plain HTTP.
    pub http_port: u16,
}

impl Catalog {
    /// Reads it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(store: &Store) -> Result<Self> {
        let images = store.images().await?.into_iter().map(|image| (image.name, image.digest));
        Ok(Self {
            networks: by_name(store.networks().await?, |network| &network.name),
            images: images.collect(),
            netboots: by_name(store.netboots().await?, |netboot| &netboot.name),
            oses: by_name(store.oses().await?, |os| &os.name),
            scripts: by_name(store.scripts().await?, |script| &script.name),
            groups: by_name(store.groups().await?, |group| &group.name),
            http_port: store.port("http-port", HTTP_PORT).await?,
        })
    }

    /// One group.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn group(&self, name: &str) -> Result<&Group> {
        self.groups
            .get(name)
            .with_context(|| format!("there is no group `{name}`: see `headnode group list`"))
    }

    /// One network.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn network(&self, name: &str) -> Result<&Network> {
        let found = self.networks.get(name);
        found.with_context(|| format!("there is no network `{name}`: see `headnode network list`"))
    }

    /// Base URL of plain HTTP, as nodes of a network reach it.
    pub fn http(&self, network: &Network) -> String {
        super::http(network, self.http_port)
    }

    /// What an os gives to documents of nodes on a network; `None` if there is none of that name.
    pub fn defaults(&self, os: &str, network: &Network) -> Option<Defaults> {
        Some(Defaults::of(self.oses.get(os)?, &self.http(network)))
    }

    /// A node's recipe.
    ///
    /// # Errors
    /// When its document cannot be read, or names an image, netboot or script that is not there.
    pub fn recipe(&self, node: Node) -> Result<Recipe> {
        let group = self.group(&node.group)?;
        if node.overrides.is_empty() {
            let name = format!("group {}", group.name);
            return Recipe::build(self, node, Source { name: &name, text: &group.document });
        }
        let merged = document::merge(&group.document, &node.overrides)?;
        let name = format!("node {} (group {} with its overrides)", node.name, group.name);
        Recipe::build(self, node, Source { name: &name, text: &merged })
    }
}

fn by_name<T>(things: Vec<T>, name: impl Fn(&T) -> &String) -> BTreeMap<String, T> {
    things.into_iter().map(|thing| (name(&thing).clone(), thing)).collect()
}
