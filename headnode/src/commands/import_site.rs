//! `headnode import-site`

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Context;
use super::change::printable;
use crate::cli::{ImportSite, Output};
use crate::output::{self, or_dash};
use crate::plugins::Verb;
use crate::recipe::Catalog;
use crate::site_import::formats::{self, File};
use crate::site_import::proposal::{Groups, Proposal, propose};

pub(super) async fn run(context: &Context, options: ImportSite) -> Result<()> {
    let ImportSite { format, files, group, map, dry_run } = options;
    let catalog = Catalog::load(&context.store).await?;
    for name in map.iter().map(|mapping| &mapping.ours).chain(&group) {
        catalog.group(name)?;
    }
    let read = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        // Kusu's databases are of the time before UTF-8; names and addresses are ASCII.
        Ok(File { name: path.display().to_string(), text: String::from_utf8_lossy(&bytes).into_owned() })
    };
    let files: Vec<File> = files.iter().map(read).collect::<Result<_>>()?;
    let site = formats::read(format, &files)?;
    ensure!(!site.machines.is_empty(), "there is no machine in these files");
    let left = site.left.clone();
    let renamed = map.into_iter().map(|mapping| (mapping.theirs, mapping.ours)).collect();
    let (nodes, hosts) = (context.store.nodes().await?, context.store.hosts().await?);
    let proposal = propose(site, &Groups { renamed, fallback: group }, &catalog, &nodes, &hosts);
    if context.output != Output::Table {
        output::data(context.output, &as_json(&proposal, &left))?;
    }
    // Other systems' texts, which must not command a terminal.
    let shown = printable(&shown(&proposal, &left));
    if dry_run {
        return if context.output == Output::Table { output::text(&shown) } else { Ok(()) };
    }
    if proposal.nodes.is_empty() && proposal.hosts.is_empty() {
        eprint!("{shown}");
        bail!("none of these machines can be added: nothing was changed");
    }
    context.confirm(&shown, "Add them?")?;
    add(context, &proposal).await
}

async fn add(context: &Context, proposal: &Proposal) -> Result<()> {
    context.store.add_machines(&proposal.nodes, &proposal.hosts).await?;
    let mut nodes = context.store.nodes().await?;
    nodes.retain(|node| proposal.nodes.iter().any(|new| new.name == node.name));
    context.tell(Verb::Added, &nodes).await
}

/// A line a machine, then what is not carried over.
fn shown(proposal: &Proposal, left: &[String]) -> String {
    let Proposal { nodes, hosts, refused, left: of_machines } = proposal;
    let mut lines: Vec<String> = Vec::new();
    for node in nodes {
        let address = or_dash(node.address);
        lines.push(format!(
            "+ node {} group {} mac {} address {address} network {}",
            node.name, node.group, node.mac, node.network
        ));
    }
    lines.extend(
        hosts
            .iter()
            .map(|host| format!("+ host {} address {} network {}", host.name, host.address, host.network)),
    );
    lines.extend(refused.iter().map(|(name, why)| format!("- {name} is not added: {why}")));
    lines.extend(of_machines.iter().map(|(name, what)| format!("  not carried over of {name}: {what}")));
    lines.extend(left.iter().map(|what| format!("  not carried over: {what}")));
    lines.push(format!(
        "{} nodes and {} hosts to add, {} machines not added",
        nodes.len(),
        hosts.len(),
        refused.len()
    ));
    lines.into_iter().map(|line| line + "\n").collect()
}

fn as_json(proposal: &Proposal, left: &[String]) -> Value {
    let node = |node: &crate::store::nodes::Node| json!({"name": node.name, "group": node.group, "mac": node.mac.as_str(), "address": node.address, "network": node.network, "uid": node.uid});
    let pair = |(name, what): &(String, String)| json!({"name": name, "what": what});
    json!({
        "nodes": proposal.nodes.iter().map(node).collect::<Vec<_>>(),
        "hosts": proposal.hosts.iter().map(|host| json!({"name": host.name, "address": host.address, "network": host.network})).collect::<Vec<_>>(),
        "refused": proposal.refused.iter().map(pair).collect::<Vec<_>>(),
        "left": proposal.left.iter().map(pair).collect::<Vec<_>>(),
        "left_of_site": left,
    })
}
