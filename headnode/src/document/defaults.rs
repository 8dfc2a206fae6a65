//! What a document that names an `os` need not say: kernel and initrd, release, install source, repositories.

use nii::v1::{Distribution, InstallType, Repository, Source as Tree};

use super::{Document, Package};
use crate::os::Os;

/// What an os gives to documents that name it.
#[derive(Clone, Debug)]
pub struct Defaults {
    netboot: String,
    os: Distribution,
    source: Tree,
    repositories: Vec<Repository>,
    stage2: String,
}

impl Defaults {
    /// Those of `os`, on a head node that is `http` to the node.
    pub fn of(os: &Os, http: &str) -> Self {
        let content = &os.content;
        let tree = os.url(http, &content.root);
        let mut used = content.repositories.iter().filter(|repository| repository.used);
        // Anaconda finds its base repository by the tree's `.treeinfo`. A tree without one of that kind is told the
        // first by its own folder.
        let base = used.next();
        let source = match base {
            Some(base) if base.name != crate::os::treeinfo::BASE => os.url(http, &base.path),
            _ => tree.clone(),
        };
        let repository = |repository: &crate::os::Repository| Repository {
            name: repository.name.clone(),
            source: Tree::Url(os.url(http, &repository.path)),
            cost: None,
            install: false,
        };
        Self {
            netboot: os.name.clone(),
            os: content.os.clone(),
            source: Tree::Url(source),
            repositories: used.map(repository).collect(),
            stage2: tree,
        }
    }
}

impl Document {
    /// Takes what it does not say itself from `defaults`. The keys that it took.
    pub fn fill(&mut self, defaults: Defaults) -> Vec<&'static str> {
        let mut filled = Vec::new();
        fill(&mut self.netboot, defaults.netboot, "netboot", &mut filled);
        if self.install.kind != InstallType::Package {
            return filled;
        }
        let package = self.package.get_or_insert_with(Package::default);
        fill(&mut package.os, defaults.os, "package.os", &mut filled);
        // The repositories of one source do not go with another; the second stage goes with the kernel.
        if package.source.is_none() {
            fill(&mut package.repositories, defaults.repositories, "package.repositories", &mut filled);
        }
        fill(&mut package.source, defaults.source, "package.source", &mut filled);
        fill(&mut package.stage2, defaults.stage2, "package.stage2", &mut filled);
        filled
    }
}

fn fill<T>(slot: &mut Option<T>, value: T, key: &'static str, filled: &mut Vec<&'static str>) {
    if slot.is_none() {
        *slot = Some(value);
        filled.push(key);
    }
}
