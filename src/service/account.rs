//! [`AccountFiles`]: the users and groups of a root, as the texts of `/etc/passwd`, `/etc/group`,
//! `/etc/shadow` and `/etc/gshadow`, to which some can be added.
//!
//! `useradd` is not asked: small images have none, and a layer is made without running anything.
//! What a root has keeps its bytes, even what cannot be read. No home is made here.

use std::io;
use std::path::Path;

use crate::vocab::account::{AccountId, AccountName, AccountPath};
use crate::vocab::safe_path::SafePath;

use super::account_line::{insert, named, numbered, with_member};
use super::node::{self, Node, NodeError, NodeKind};

/// A group that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: AccountName,
    /// Its number.
    pub gid: AccountId,
    /// What to do when the name is there with another number.
    pub other: Other,
}

/// A user that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: AccountName,
    /// Its number.
    pub uid: AccountId,
    /// The name of its own group, which is there.
    pub group: AccountName,
    /// Its home, which is not made.
    pub home: AccountPath,
    /// Its shell.
    pub shell: AccountPath,
    /// What to do when the name is there with another number.
    pub other: Other,
}

/// What to do with a user or group whose name is there with another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// Fail.
    Refuse,
    /// Leave it as it is, since a distribution's package made it.
    Keep,
}

/// The numbers of a user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// The users and groups of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFiles {
    passwd: Accounts,
    group: Accounts,
    shadow: Option<Accounts>,
    gshadow: Option<Accounts>,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Accounts {
    /// Where it is, and its attributes.
    node: Node,
    text: Vec<u8>,
}

/// A user or group that cannot be there as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The number belongs to somebody else.
    #[error("the {kind} id {id} is in use by `{by}`")]
    InUse {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        id: AccountId,
        /// Who has it.
        by: String,
    },
    /// The name is there with another number.
    #[error("the {kind} `{name}` is there already, with the id {found} instead of {wanted}")]
    OtherId {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: AccountName,
        /// The number it has.
        found: u32,
        /// The number that is wanted.
        wanted: u32,
    },
    /// The user is there with another group of its own.
    #[error("the user `{name}` is there already, with the group id {found} instead of {wanted}")]
    OtherGroup {
        /// The name.
        name: AccountName,
        /// The number of the group it has.
        found: u32,
        /// The number of the group that is wanted.
        wanted: u32,
    },
    /// The line of a name is there, and is none.
    #[error("the line of `{name}` in `/{file}` cannot be read")]
    Malformed {
        /// The name.
        name: AccountName,
        /// The file.
        file: SafePath,
    },
    /// There is no such user or group.
    #[error("there is no {kind} `{name}`")]
    None {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: AccountName,
    },
    /// The environment that is in the root cannot be looked at.
    #[error("cannot look at the environment")]
    Look {
        /// Why.
        source: io::Error,
    },
    /// A directory of the root cannot be listed.
    #[error("cannot list `/{path}`")]
    List {
        /// The path in the root; empty for the root itself.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// One of the files cannot be read.
    #[error("cannot read the users and groups")]
    Read {
        /// Why.
        source: NodeError,
    },
}

impl Accounts {
    fn of(node: Node) -> Self {
        let Node { path, kind, mode, uid, gid } = node;
        let text = if let NodeKind::File(text) = kind { text } else { Vec::new() };
        Self { node: Node { path, kind: NodeKind::Directory, mode, uid, gid }, text }
    }

    fn node(&self) -> Node {
        Node { kind: NodeKind::File(self.text.clone()), ..self.node.clone() }
    }

    /// The numbers in the fields `fields` of the line of `name`.
    fn ids<const N: usize>(
        &self,
        name: &AccountName,
        fields: [usize; N],
    ) -> Result<Option<[u32; N]>, AccountError> {
        let Some(line) = named(&self.text, name.as_str()) else { return Ok(None) };
        let mut ids = [0; N];
        for (id, field) in ids.iter_mut().zip(fields) {
            *id = line.number(field).ok_or_else(|| self.malformed(name))?;
        }
        Ok(Some(ids))
    }

    fn malformed(&self, name: &AccountName) -> AccountError {
        AccountError::Malformed { name: name.clone(), file: self.node.path.clone() }
    }

    /// Refuses `id` when it is somebody's.
    fn vacant(&self, kind: &'static str, id: AccountId) -> Result<(), AccountError> {
        match numbered(&self.text, id.number()) {
            Some(by) => Err(AccountError::InUse { kind, id, by }),
            None => Ok(()),
        }
    }

    /// Adds `line` for `name` unless it has one.
    fn add(&mut self, name: &AccountName, line: &str) {
        if named(&self.text, name.as_str()).is_none() {
            insert(&mut self.text, line);
        }
    }

    /// Adds `member` to the line of `group`; whether there is such a line.
    fn add_member(
        &mut self,
        group: &AccountName,
        member: &AccountName,
    ) -> Result<bool, AccountError> {
        if named(&self.text, group.as_str()).is_none() {
            return Ok(false);
        }
        let changed = with_member(&self.text, group.as_str(), member.as_str());
        self.text = changed.ok_or_else(|| self.malformed(group))?;
        Ok(true)
    }
}

impl AccountFiles {
    /// The users and groups that stand in these files, of which a root needs not have all.
    #[must_use]
    pub fn new(
        passwd: Option<Node>,
        group: Option<Node>,
        shadow: Option<Node>,
        gshadow: Option<Node>,
    ) -> Self {
        let empty = |path| Node::file(fixed(path), Vec::new());
        Self {
            passwd: Accounts::of(passwd.unwrap_or_else(|| empty("etc/passwd"))),
            group: Accounts::of(group.unwrap_or_else(|| empty("etc/group"))),
            shadow: shadow.map(Accounts::of),
            gshadow: gshadow.map(Accounts::of),
        }
    }

    /// The users and groups of the directory `root`.
    ///
    /// # Errors
    /// [`AccountError::Read`]; a file that is not there is none.
    pub fn read(root: &Path) -> Result<Self, AccountError> {
        let read =
            |path| node::read(root, &fixed(path)).map_err(|source| AccountError::Read { source });
        Ok(Self::new(
            read("etc/passwd")?,
            read("etc/group")?,
            read("etc/shadow")?,
            read("etc/gshadow")?,
        ))
    }

    /// The numbers of the user `name`; none when there is no such user.
    ///
    /// # Errors
    /// [`AccountError::Malformed`].
    pub fn user(&self, name: &AccountName) -> Result<Option<Ids>, AccountError> {
        Ok(self.passwd.ids(name, [2, 3])?.map(|[uid, gid]| Ids { uid, gid }))
    }

    /// Adds a group, unless it is there.
    ///
    /// # Errors
    /// [`AccountError::InUse`], [`AccountError::OtherId`], [`AccountError::Malformed`]; nothing is
    /// changed then.
    pub fn add_group(&mut self, group: &Group) -> Result<(), AccountError> {
        let Group { name, gid, other } = group;
        match self.group.ids(name, [2])? {
            Some([found]) if found != gid.number() && *other == Other::Refuse => {
                let (kind, name, wanted) = ("group", name.clone(), gid.number());
                return Err(AccountError::OtherId { kind, name, found, wanted });
            }
            Some(_) => {}
            None => self.group.vacant("group", *gid)?,
        }
        self.group.add(name, &format!("{name}:x:{gid}:"));
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.add(name, &format!("{name}:!::"));
        }
        Ok(())
    }

    /// Adds a user without a password, unless it is there. The day of the last change of the
    /// password is left empty, which means that passwords do not age (`shadow(5)`): a day would make
    /// other bytes each day.
    ///
    /// # Errors
    /// As [`AccountFiles::add_group`]; [`AccountError::None`] when its group is not there.
    pub fn add_user(&mut self, user: &User) -> Result<(), AccountError> {
        let User { name, uid, group, home, shell, other } = user;
        let no_group = || AccountError::None { kind: "group", name: group.clone() };
        let [gid] = self.group.ids(group, [2])?.ok_or_else(no_group)?;
        match self.passwd.ids(name, [2, 3])? {
            Some(_) if *other == Other::Keep => {}
            Some([found, _]) if found != uid.number() => {
                let (kind, name, wanted) = ("user", name.clone(), uid.number());
                return Err(AccountError::OtherId { kind, name, found, wanted });
            }
            Some([_, found]) if found != gid => {
                return Err(AccountError::OtherGroup { name: name.clone(), found, wanted: gid });
            }
            Some(_) => {}
            None => self.passwd.vacant("user", *uid)?,
        }
        // Without a shadow file, whether there is a password stands here.
        let password = if self.shadow.is_some() { "x" } else { "!" };
        let line = format!("{name}:{password}:{uid}:{gid}:{name} user:{home}:{shell}");
        self.passwd.add(name, &line);
        if let Some(shadow) = &mut self.shadow {
            shadow.add(name, &format!("{name}:!:::::::"));
        }
        Ok(())
    }

    /// Makes `member` one of the members of `group`, unless it is one.
    ///
    /// # Errors
    /// [`AccountError::None`] when one of them is not there, [`AccountError::Malformed`].
    pub fn add_member(
        &mut self,
        group: &AccountName,
        member: &AccountName,
    ) -> Result<(), AccountError> {
        if self.user(member)?.is_none() {
            return Err(AccountError::None { kind: "user", name: member.clone() });
        }
        if !self.group.add_member(group, member)? {
            return Err(AccountError::None { kind: "group", name: group.clone() });
        }
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.add_member(group, member)?;
        }
        Ok(())
    }

    /// The files that differ from those of `before`, with the attributes they have.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<Node> {
        let files = |all: &Self| {
            let Self { passwd, group, shadow, gshadow } = all.clone();
            [Some(passwd), Some(group), shadow, gshadow]
        };
        let pairs = files(self).into_iter().zip(files(before));
        pairs
            .filter(|(now, then)| now != then)
            .filter_map(|(now, _)| now.map(|accounts| accounts.node()))
            .collect()
    }
}

fn fixed(path: &str) -> SafePath {
    path.parse().expect("these paths are words of this file")
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
