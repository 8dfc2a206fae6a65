//! `headnode api-key …`

use anyhow::Result;
use serde_json::json;

use super::{Context, actor, check_name};
use crate::cli::ApiKey as Command;
use crate::clock;
use crate::keys;
use crate::output::{self, List, or_dash};
use crate::store::api_keys::ApiKey;

const DAY_MS: i64 = 86_400_000;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, scope, expires } => {
            check_name("API key", &name)?;
            let made_at = clock::now_ms();
            let expires_at = expires.map(|days| made_at + i64::from(days) * DAY_MS);
            let secret = keys::new_secret()?;
            let key = ApiKey { name, scope, made_at, expires_at };
            context.store.add_api_key(&key, &secret, &actor()).await?;
            output::text(&format!("{}\n", *secret))
        }
        Command::List => {
            let mut list = List::new(&["name", "scope", "made", "ends"]);
            for ApiKey { name, scope, made_at, expires_at } in context.store.api_keys().await? {
                let (made, ends) = (clock::text(made_at), expires_at.map(clock::text));
                let json = json!({"name": name, "scope": scope.name(), "made_at": made, "expires_at": ends});
                list.push(vec![name, scope.name().to_owned(), made, or_dash(ends)], json);
            }
            list.print(context.output)
        }
        Command::Revoke { name } => context.store.revoke_api_key(&name, &actor()).await,
    }
}
