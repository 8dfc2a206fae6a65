//! Whether a session is asked for with the node's own TPM, where its group wants that.

use nii::session::{ErrorCode, SessionRequest};

use super::App;
use super::answers::Refused;
use crate::document::Tpm as Wanted;
use crate::recipe::Recipe;
use crate::store::attempts::Session;
use crate::store::nodes::Node;
use crate::tpm::Chip;

/// The chip that the session's key is to be wrapped for; `None` if its group wants none.
///
/// # Errors
/// When that is not the node's; then it is a security notice, too.
pub(super) async fn of(
    app: &App,
    node: &Node,
    request: &SessionRequest,
    peer: &str,
) -> Result<Option<Chip>, Refused> {
    let wanted = Recipe::of(&app.store, node.clone()).await?.document.tpm;
    if wanted == Wanted::Off {
        return Ok(None);
    }
    let shown = request.tpm.as_ref().map(Chip::read).transpose();
    let (cause, why) = match shown {
        Ok(Some(chip)) => match refusal(app, node, wanted, &chip).await? {
            None => return Ok(Some(chip)),
            Some(why) => ("foreign-tpm", why),
        },
        Ok(None) => (
            "refused-tpm",
            format!("{} is installed with its TPM only, and this machine showed none", node.name),
        ),
        Err(error) => ("foreign-tpm", format!("this machine's TPM: {error:#}")),
    };
    app.store.refusal(&node.name, peer, cause, &why).await?;
    crate::log::line(format_args!("{}: refused to {peer}: {why}", node.name));
    Err(Refused::new(ErrorCode::Unauthorized, why))
}

/// Binds a session to the chip that its key is wrapped for.
///
/// # Errors
/// When it was wrapped for another one before: who unwraps it there could give this one's name to the node.
pub(super) async fn binds(app: &App, session: &Session, chip: &Chip, peer: &str) -> Result<(), Refused> {
    if app.store.wraps_for(session.attempt, chip.name).await? {
        return Ok(());
    }
    let name = &session.node.name;
    let why = format!("the session of attempt {} is for another TPM than {}", session.attempt, chip.name);
    app.store.refusal(name, peer, "foreign-tpm", &why).await?;
    crate::log::line(format_args!("{name}: refused to {peer}: {why}"));
    Err(Refused::new(ErrorCode::Unauthorized, why))
}

/// Why this is not the node's chip; `None` if it is, or becomes it.
async fn refusal(app: &App, node: &Node, wanted: Wanted, chip: &Chip) -> anyhow::Result<Option<String>> {
    let (shown, name) = (chip.name, &node.name);
    Ok(match app.store.tpm(node.id).await? {
        Some(own) if own == shown => None,
        Some(own) => Some(format!(
            "{name} has the TPM {own}, and this machine {shown}: if it is {name} with a new board, `headnode tpm forget {name}`"
        )),
        None if wanted == Wanted::Listed => Some(format!(
            "no TPM was accepted for {name}, and this machine has {shown}: if it is {name}, `headnode tpm accept {name} {shown}`"
        )),
        None => app.store.node_of_tpm(shown).await?.map(|other| {
            format!("this machine has the TPM of {other}, {shown}: it cannot be {name}, too (`headnode tpm forget {other}`)")
        }),
    })
}
