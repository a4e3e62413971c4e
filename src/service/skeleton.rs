//! What a service's root has beside packages: its user and group, its directories, and those that its steps
//! add.

use crate::vocab::account::AccountName;

use super::account::{AccountError, AccountFiles, Ids};
use super::node::Node;
use super::project_account::{ProjectAccount, directories};
use super::steps::StepPlan;

/// The numbers of the user and group that a service has in a root with these `accounts`. A plugin, which has no
/// `account`, is the business of the user that the service has in whose image it is put; root's, when
/// there is none.
///
/// # Errors
/// [`AccountError::Malformed`].
pub fn ids(
    name: &AccountName,
    account: Option<&ProjectAccount>,
    accounts: &AccountFiles,
) -> Result<Ids, AccountError> {
    match account {
        Some(account) => Ok(Ids { uid: account.uid.number(), gid: account.gid.number() }),
        None => Ok(accounts.user(name)?.unwrap_or(Ids { uid: 0, gid: 0 })),
    }
}

/// What has to be written of a service's users, groups and directories into a root with these `accounts`, a
/// directory before what is in it.
///
/// # Errors
/// [`AccountError`] when a name or number is somebody else's.
pub fn skeleton(
    name: &AccountName,
    account: Option<&ProjectAccount>,
    accounts: &AccountFiles,
    plan: &StepPlan,
) -> Result<Vec<Node>, AccountError> {
    let mut changed = accounts.clone();
    let ids = match account {
        Some(account) => Some(account.add_to(&mut changed)?),
        None => None,
    };
    plan.add_accounts(&mut changed)?;
    let mut nodes = changed.changed_since(accounts);
    nodes.extend(ids.into_iter().flat_map(|ids| directories(name, ids)));
    Ok(nodes)
}
