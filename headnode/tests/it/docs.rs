//! docs/headnode.md: its documents are accepted as they stand there.

use crate::distribution::dvd;
use crate::head::{HASH, Head};

/// The TOML blocks of the page, with a hash where it has an ellipsis.
fn blocks() -> Vec<String> {
    let page = include_str!("../../../docs/headnode.md").replace("$6$…", HASH);
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.map(|block| block.replace("AAAA…", "AAAA")).collect()
}

fn furnished() -> Head {
    let head = Head::new();
    head.ok(&["image", "import", "debian12", head.path("root").to_str().unwrap()]);
    head.add_stock("deb12", &[]);
    let tree = dvd(&head);
    let segment = head.file("segment", "our segment");
    head.ok(&["os", "import", "rocky9", tree.to_str().unwrap(), "--link", "--segment", &segment]);
    for name in ["motd", "join-cluster"] {
        head.ok(&["script", "add", name, &head.file(name, "#!/bin/sh\n")]);
    }
    head
}

#[test]
fn whole_documents_make_nodes_that_can_be_armed() {
    let head = furnished();
    let is_whole = |block: &String| block.starts_with("netboot = ") || block.starts_with("os = ");
    let whole: Vec<String> = blocks().into_iter().filter(is_whole).collect();
    assert_eq!(whole.len(), 3, "a disked, a diskless and a package node");
    for (i, text) in whole.iter().enumerate() {
        let (group, node) = (format!("g{i}"), format!("doc{i}"));
        head.ok(&["group", "add", &group, "--file", &head.file("x.toml", text)]);
        head.ok(&["node", "add", &node, "--group", &group, "--mac", &format!("52:54:00:00:01:0{i}")]);
        head.ok(&["boot", "install", &node]);
    }
}

#[test]
fn a_bond_fits_the_package_node() {
    let head = furnished();
    let blocks = blocks();
    let package = blocks.iter().find(|block| block.contains("type = \"package\"")).unwrap();
    let bond = blocks.iter().find(|block| block.starts_with("[network]")).unwrap();
    let file = head.file("x.toml", &format!("{package}\n{bond}"));
    head.ok(&["group", "add", "bonded", "--file", &file]);
}
