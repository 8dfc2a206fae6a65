//! `headnode doctor`

use std::path::Path;

use anyhow::{Result, bail};

use crate::cli::{self, Output};
use crate::data_dir::DataDir;
use crate::doctor::{Examined, Finding, Level};
use crate::output::{self, List};

/// Opens no store first, as others do: what is wrong with it is a finding.
pub(super) async fn run(path: &Path, output: Output, options: &cli::Doctor) -> Result<()> {
    let examined = Examined::read(DataDir::open(path)?, options).await;
    let findings = tokio::task::spawn_blocking(move || examined.findings()).await?;
    match output {
        Output::Table => list(&findings).print(output)?,
        Output::Json | Output::Yaml => output::data(output, &serde_json::to_value(&findings)?)?,
    }
    match findings.iter().filter(|finding| finding.level == Level::Problem).count() {
        0 => Ok(()),
        1 => bail!("there is a problem"),
        count => bail!("there are {count} problems"),
    }
}

fn list(findings: &[Finding]) -> List {
    let mut list = List::new(&["", "check", "about", "found"]);
    for Finding { level, check, about, what, todo } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Warning => "WARNING",
            Level::Problem => "PROBLEM",
        };
        let todo = todo.as_ref().map_or_else(String::new, |todo| format!(". Do: {todo}"));
        let row = vec![level.into(), (*check).into(), about.clone(), format!("{what}{todo}")];
        list.push(row, serde_json::Value::Null);
    }
    list
}
