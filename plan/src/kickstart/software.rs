//! Where packages come from, and which.

use nii::v1::{Package, Repository, Source};

use super::words::{Line, lines};

/// `url` and `repo`.
pub(super) fn source(package: &Package) -> String {
    let repository = |repository: &Repository| {
        let line = Line::new("repo").option("name", &repository.name);
        let line = from(line, &repository.source, "baseurl");
        line.maybe("cost", repository.cost).flag_if("install", repository.install)
    };
    let tree = from(Line::new("url"), &package.source, "url");
    lines([tree].into_iter().chain(package.repositories.iter().map(repository)))
}

fn from(line: Line, source: &Source, tree: &str) -> Line {
    match source {
        Source::Url(url) => line.option(tree, url),
        Source::Mirrorlist(url) => line.option("mirrorlist", url),
        Source::Metalink(url) => line.option("metalink", url),
    }
}

/// `%packages`. Its lines are not split into words and nothing can be quoted there: validation refuses names that would
/// mean something else.
pub(super) fn packages(package: &Package) -> String {
    let environment = package.environment.iter().map(|name| format!("@^{name}\n"));
    let groups = package.groups.iter().map(|name| format!("@{name}\n"));
    let packages = package.packages.iter().map(|name| format!("{name}\n"));
    let exclude = package.exclude.iter().map(|name| format!("-{name}\n"));
    let names: String = environment.chain(groups).chain(packages).chain(exclude).collect();
    format!("%packages\n{names}%end\n")
}
