//! [`ProjectAccount`]: the user that a service runs as, its group, and the directories that are its own.
//!
//! The names and numbers are LOCI's, so that images of either can share volumes. An image on top of a
//! service's image (`PLUGIN`) adds none of this.

use crate::vocab::account::{AccountId, AccountName, AccountPath};
use crate::vocab::safe_path::SafePath;

use super::account::{AccountError, AccountFiles, Group, Ids, Other, User};
use super::node::Node;

/// Where the Python environment of a service is, below the root.
pub const ENVIRONMENT: &str = "var/lib/openstack";

/// The same as a path below a root.
#[must_use]
pub fn environment() -> SafePath {
    fixed(ENVIRONMENT)
}

/// The numbers of user and group when none are asked for.
pub const DEFAULT_ID: &str = "42424";

/// The shell of a service's user, unless its steps name another.
pub const NO_SHELL: &str = "/usr/sbin/nologin";

/// The user and group of a project, both of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectAccount {
    /// The project.
    pub project: AccountName,
    /// The user's number.
    pub uid: AccountId,
    /// The group's number.
    pub gid: AccountId,
    /// The user's shell.
    pub shell: AccountPath,
}

impl ProjectAccount {
    /// The account of `project` with the numbers and the shell that are usual.
    #[must_use]
    pub fn new(project: AccountName) -> Self {
        let id = || DEFAULT_ID.parse().expect("it is a number");
        let shell = NO_SHELL.parse().expect("it is an absolute path");
        Self { project, uid: id(), gid: id(), shell }
    }

    /// Adds user and group to `files`, and says their numbers.
    ///
    /// # Errors
    /// [`AccountError`] when a name or number is somebody else's.
    pub fn add_to(&self, files: &mut AccountFiles) -> Result<Ids, AccountError> {
        let Self { project, uid, gid, shell } = self;
        let home = format!("/var/lib/{project}");
        files.add_group(&Group { name: project.clone(), gid: *gid, other: Other::Refuse })?;
        files.add_user(&User {
            name: project.clone(),
            uid: *uid,
            group: project.clone(),
            home: home.parse().expect("an account's name has neither colons nor line ends"),
            shell: shell.clone(),
            other: Other::Refuse,
        })?;
        Ok(Ids { uid: uid.number(), gid: gid.number() })
    }
}

/// The directories that a project writes to, which are of its user and group, and that of its Python
/// environment, which is root's.
#[must_use]
pub fn directories(project: &AccountName, ids: Ids) -> Vec<Node> {
    let own = ["etc", "var/cache", "var/lib", "var/log"].map(|parent| {
        Node::directory(fixed(&format!("{parent}/{project}"))).owned_by(ids.uid, ids.gid)
    });
    let mut nodes = Vec::from(own);
    nodes.push(Node::directory(environment()));
    nodes
}

fn fixed(path: &str) -> SafePath {
    path.parse().expect("an account's name is one component of a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_owns_its_directories() {
        let nova = "nova".parse().unwrap();
        let nodes = directories(&nova, Ids { uid: 7, gid: 8 });
        let lines = nodes
            .iter()
            .map(|node| format!("/{} {:04o} {}:{}", node.path, node.mode, node.uid, node.gid));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
        /etc/nova 0755 7:8
        /var/cache/nova 0755 7:8
        /var/lib/nova 0755 7:8
        /var/log/nova 0755 7:8
        /var/lib/openstack 0755 0:0
        ");
    }

    #[test]
    fn a_project_has_locis_numbers() {
        let account = ProjectAccount::new("glance".parse().unwrap());
        let before = AccountFiles::new(None, None, None, None);
        let mut files = before.clone();
        assert_eq!(account.add_to(&mut files).unwrap(), Ids { uid: 42424, gid: 42424 });
        assert_eq!(files.user(&account.project).unwrap(), Some(Ids { uid: 42424, gid: 42424 }));
        assert_eq!(files.changed_since(&before).len(), 2);
    }

    #[test]
    fn the_longest_and_oddest_names_have_directories() {
        for name in ["_", "a.", &"a".repeat(32)] {
            assert_eq!(directories(&name.parse().unwrap(), Ids { uid: 1, gid: 1 }).len(), 5);
            let account = ProjectAccount::new(name.parse().unwrap());
            account.add_to(&mut AccountFiles::new(None, None, None, None)).unwrap();
        }
    }
}
