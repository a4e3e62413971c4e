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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::input::document::Document;
    use crate::input::steps::ProjectSteps;
    use crate::service::node::NodeKind;
    use crate::service::steps::Circumstances;
    use crate::vocab::safe_path::SafePath;
    use crate::wheel::scheme::Scheme;

    const STEPS: &str = r#"
        [[step]]
        name = "tss"
        [step.group]
        name = "tss"
        gid = "59"
        members = ["nova"]
    "#;

    fn accounts(passwd: &str, group: &str) -> AccountFiles {
        let node = |path: &str, text: &str| {
            Node::file(path.parse::<SafePath>().unwrap(), text.as_bytes().to_vec())
        };
        AccountFiles::new(
            Some(node("etc/passwd", passwd)),
            Some(node("etc/group", group)),
            None,
            None,
        )
    }

    fn plan(text: &str) -> StepPlan {
        let steps = ProjectSteps::parse(&Document::new("nova.toml", text)).unwrap();
        let circumstances = Circumstances {
            project: steps.project(),
            ids: Ids { uid: 7, gid: 8 },
            scheme: &Scheme::for_python(11, Path::new("/env")),
            is_active: &|_| true,
            variable: &|_| None,
        };
        StepPlan::new(&steps, &circumstances).unwrap()
    }

    fn shown(nodes: &[Node]) -> String {
        let line = |node: &Node| {
            let text = match &node.kind {
                NodeKind::File(text) => String::from_utf8_lossy(text).replace('\n', "|"),
                _ => "directory".into(),
            };
            format!("{} {:04o} {}:{} {text}", node.path, node.mode, node.uid, node.gid)
        };
        nodes.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn nova() -> ProjectAccount {
        let name = "nova".parse().unwrap();
        let ids = ("7".parse().unwrap(), "8".parse().unwrap());
        ProjectAccount { uid: ids.0, gid: ids.1, ..ProjectAccount::new(name) }
    }

    #[test]
    fn a_service_has_an_account_and_directories() {
        let name = "nova".parse().unwrap();
        let before = accounts("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n");
        let nodes = skeleton(&name, Some(&nova()), &before, &plan(STEPS)).unwrap();
        insta::assert_snapshot!(shown(&nodes), @r"
        etc/passwd 0644 0:0 root:x:0:0::/root:/bin/sh|nova:!:7:8:nova user:/var/lib/nova:/usr/sbin/nologin|
        etc/group 0644 0:0 root:x:0:|nova:x:8:|tss:x:59:nova|
        etc/nova 0755 7:8 directory
        var/cache/nova 0755 7:8 directory
        var/lib/nova 0755 7:8 directory
        var/log/nova 0755 7:8 directory
        var/lib/openstack 0755 0:0 directory
        ");
    }

    #[test]
    fn a_plugin_has_what_its_steps_add_and_no_more() {
        let name = "nova".parse().unwrap();
        let before = accounts("nova:x:7:8::/:/bin/sh\n", "nova:x:8:\n");
        let nodes = skeleton(&name, None, &before, &plan(STEPS)).unwrap();
        insta::assert_snapshot!(shown(&nodes), @"etc/group 0644 0:0 nova:x:8:|tss:x:59:nova|");
        let nodes = skeleton(&name, None, &before, &StepPlan::default()).unwrap();
        assert!(nodes.is_empty(), "{}", shown(&nodes));
    }

    #[test]
    fn whose_number_it_is_decides() {
        let name = "nova".parse().unwrap();
        let free = accounts("root:x:0:0::/root:/bin/sh\n", "");
        let there = accounts("nova:x:70:80::/:/bin/sh\n", "nova:x:80:\n");
        assert_eq!(ids(&name, Some(&nova()), &there).unwrap(), Ids { uid: 7, gid: 8 });
        assert_eq!(ids(&name, None, &there).unwrap(), Ids { uid: 70, gid: 80 });
        assert_eq!(ids(&name, None, &free).unwrap(), Ids { uid: 0, gid: 0 });
        let taken = accounts("games:x:7:60::/:/bin/sh\n", "");
        let said = [&taken, &there].map(|accounts| {
            let outcome = skeleton(&name, Some(&nova()), accounts, &StepPlan::default());
            outcome.unwrap_err().to_string()
        });
        insta::assert_snapshot!(said.join("\n"), @r"
        the user id 7 is in use by `games`
        the group `nova` is there already, with the id 80 instead of 8
        ");
    }
}
