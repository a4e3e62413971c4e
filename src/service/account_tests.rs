//! Tests of adding users and groups: which lines come, where, and that none goes.

use proptest::prelude::*;

use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\ntss:x:105:bob\n";
const SHADOW: &str = "root:*:19700:0:99999:7:::\n";

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn wanted(other: Other) -> (Group, User) {
    let id = "42424".parse().unwrap();
    let group = Group { name: name("keystone"), gid: id, other };
    let user = User {
        name: name("keystone"),
        uid: id,
        group: name("keystone"),
        home: "/var/lib/keystone".parse().unwrap(),
        shell: "/usr/sbin/nologin".parse().unwrap(),
        other,
    };
    (group, user)
}

/// The files with texts; an empty one of the last two is not there.
fn files(passwd: &str, group: &str, shadow: &str, gshadow: &str) -> AccountFiles {
    let file = |path: &str, text: &str, mode, gid| {
        let node = Node::file(path.parse().unwrap(), text.as_bytes().to_vec());
        Node { mode, ..node }.owned_by(0, gid)
    };
    AccountFiles::new(
        Some(file("etc/passwd", passwd, 0o644, 0)),
        Some(file("etc/group", group, 0o644, 0)),
        (!shadow.is_empty()).then(|| file("etc/shadow", shadow, 0o640, 42)),
        (!gshadow.is_empty()).then(|| file("usr/etc/gshadow", gshadow, 0, 42)),
    )
}

fn add(files: &mut AccountFiles, other: Other) -> Result<(), AccountError> {
    let (group, user) = wanted(other);
    files.add_group(&group)?;
    files.add_user(&user)
}

/// What changes, as the files' paths, attributes and texts.
fn shown(now: &AccountFiles, before: &AccountFiles) -> String {
    let nodes = now.changed_since(before).into_iter().map(|node| {
        let NodeKind::File(text) = &node.kind else { unreachable!() };
        let text = String::from_utf8_lossy(text).into_owned();
        format!("/{} {:04o} {}:{}\n{text}", node.path, node.mode, node.uid, node.gid)
    });
    nodes.collect::<Vec<_>>().join("--\n")
}

#[test]
fn a_project_gets_its_user_and_group() {
    let before = files(PASSWD, GROUP, SHADOW, "root:*::\n");
    let mut now = before.clone();
    add(&mut now, Other::Refuse).unwrap();
    let once = shown(&now, &before);
    add(&mut now, Other::Refuse).unwrap();
    assert_eq!(shown(&now, &before), once);
    insta::assert_snapshot!(once, @r"
    /etc/passwd 0644 0:0
    root:x:0:0:root:/root:/bin/bash
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
    keystone:x:42424:42424:keystone user:/var/lib/keystone:/usr/sbin/nologin
    --
    /etc/group 0644 0:0
    root:x:0:
    daemon:x:1:
    tss:x:105:bob
    keystone:x:42424:
    --
    /etc/shadow 0640 0:42
    root:*:19700:0:99999:7:::
    keystone:!:::::::
    --
    /usr/etc/gshadow 0000 0:42
    root:*::
    keystone:!::
    ");
    let ids = now.user(&name("keystone")).unwrap();
    assert_eq!(ids, Some(Ids { uid: 42424, gid: 42424 }));
    assert_eq!(shown(&before, &before), "");
}

#[test]
fn a_root_without_files_gets_the_two_that_it_needs() {
    let before = AccountFiles::new(None, None, None, None);
    let mut now = before.clone();
    add(&mut now, Other::Refuse).unwrap();
    insta::assert_snapshot!(shown(&now, &before), @r"
    /etc/passwd 0644 0:0
    keystone:!:42424:42424:keystone user:/var/lib/keystone:/usr/sbin/nologin
    --
    /etc/group 0644 0:0
    keystone:x:42424:
    ");
}

/// The last lines of `/etc/passwd` and `/etc/group` after a user was added, or why it was not.
#[track_caller]
fn case(other: Other, passwd: &str, group: &str, said: &str) {
    let before = files(passwd, group, "", "");
    let mut now = before.clone();
    let outcome = match add(&mut now, other) {
        Ok(()) => shown(&now, &before)
            .lines()
            .filter(|line| !line.starts_with("/etc") && !line.starts_with("root:"))
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => error.to_string(),
    };
    assert_eq!(outcome, said, "{passwd:?} {group:?}");
}

#[test]
fn who_is_there_already_matters() {
    use Other::{Keep, Refuse};
    let line = "keystone:!:42424:42424:keystone user:/var/lib/keystone:/usr/sbin/nologin";
    let both = format!("{line} -- keystone:x:42424:");
    case(Refuse, "root:x:0:0::/root:/bin/sh", "root:x:0:", &both);
    case(Refuse, "a:x:42424:7::/:\n", "", "the user id 42424 is in use by `a`");
    case(Keep, "a:x:42424:7::/:\n", "", "the user id 42424 is in use by `a`");
    case(Refuse, "", "b:x:42424:\n", "the group id 42424 is in use by `b`");
    // What says nothing is in nobody's way, and NIS stays last.
    case(Refuse, "#a:x:42424:7\n", "", &format!("#a:x:42424:7 {both}"));
    case(Refuse, "+::::::\n", "+\n", &format!("{line} +:::::: -- keystone:x:42424: +"));
    case(Refuse, "a:b\n\n:::\n", "", &format!("a:b  ::: {both}"));
    // A name that is there.
    let there = "keystone:x:7:8::/:\n";
    case(
        Refuse,
        there,
        "keystone:x:9:\n",
        "the group `keystone` is there already, with the id 9 instead of 42424",
    );
    case(
        Refuse,
        there,
        "keystone:x:42424:\n",
        "the user `keystone` is there already, with the id 7 instead of 42424",
    );
    case(
        Refuse,
        "keystone:x:42424:8::/:\n",
        "",
        "the user `keystone` is there already, with the group id 8 instead of 42424",
    );
    case(Keep, there, "keystone:x:9:\n", "");
    case(Refuse, "keystone:x:42424:42424:me:/home/me:/bin/sh", "keystone:x:42424:a,b", "");
    case(
        Refuse,
        "keystone:x:many:8\n",
        "",
        "the line of `keystone` in `/etc/passwd` cannot be read",
    );
    case(Refuse, "", "keystone\n", "the line of `keystone` in `/etc/group` cannot be read");
}

#[test]
fn a_user_needs_its_group() {
    let mut now = files("", "", "", "");
    let error = now.add_user(&wanted(Other::Keep).1).unwrap_err();
    assert_eq!(error.to_string(), "there is no group `keystone`");
}

#[track_caller]
fn member(group: &str, said: &str) {
    let before = files("keystone:x:1:1::/:\n", group, "", group);
    let mut now = before.clone();
    let outcome = match now.add_member(&name("tss"), &name("keystone")) {
        Ok(()) => {
            let nodes = now.changed_since(&before);
            let text = nodes.first().map_or(&b""[..], |node| match &node.kind {
                NodeKind::File(text) => text,
                _ => b"",
            });
            assert!(matches!(nodes.len(), 0 | 2), "the same in both files");
            String::from_utf8(text.to_vec()).unwrap()
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(outcome, said, "{group:?}");
}

#[test]
fn members_are_added_to_a_line() {
    member("a:x:7:\ntss:x:59:\nb:x:8:", "a:x:7:\ntss:x:59:keystone\nb:x:8:");
    member("tss:x:59:bob", "tss:x:59:bob,keystone");
    member("tss:x:59:bob,keystone\n", "");
    member("tss:x:59:\ntss:x:59:\n", "tss:x:59:keystone\ntss:x:59:\n");
    member("tss:x:59\n", "the line of `tss` in `/etc/group` cannot be read");
    member("a:x:7:\n", "there is no group `tss`");
    let mut now = files("", "tss:x:59:\n", "", "");
    let error = now.add_member(&name("tss"), &name("keystone")).unwrap_err();
    assert_eq!(error.to_string(), "there is no user `keystone`");
}

#[test]
fn files_of_a_root_are_read_with_their_attributes() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/passwd"), b"m\xe9:x:1:1::/:\n").unwrap();
    std::fs::write(dir.path().join("etc/shadow"), "").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(dir.path().join("etc/shadow"), mode).unwrap();
    let before = AccountFiles::read(dir.path()).unwrap();
    let mut now = before.clone();
    add(&mut now, Other::Refuse).unwrap();
    let nodes = now.changed_since(&before);
    let paths: Vec<_> = nodes.iter().map(|node| (node.path.as_str(), node.mode)).collect();
    assert_eq!(paths, [("etc/passwd", 0o644), ("etc/group", 0o644), ("etc/shadow", 0o600)]);
    let NodeKind::File(text) = &nodes[0].kind else { unreachable!() };
    assert!(text.starts_with(b"m\xe9:x:1:1::/:\nkeystone:x:"), "bytes are kept");
}

/// Something like one of the files, whole lines or not.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\n".to_owned()),
        Just(":".to_owned()),
        Just("keystone".to_owned()),
        Just("keystone:x:42424:".to_owned()),
        Just("tss:x:59:".to_owned()),
        Just("+".to_owned()),
        Just("#".to_owned()),
        Just("é".to_owned()),
        "[a-z:0-9,\n]{0,6}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// The lines of one text, when those of `before` are among them in their order.
fn kept(before: &[u8], after: &[u8]) -> bool {
    let mut after = after.split(|byte| *byte == b'\n');
    before.split(|byte| *byte == b'\n').all(|line| line.is_empty() || after.any(|a| a == line))
}

proptest! {
    #[test]
    fn no_line_is_lost_and_twice_is_once(
        passwd in text(), group in text(), shadow in text(), gshadow in text(), keep in any::<bool>()
    ) {
        let other = if keep { Other::Keep } else { Other::Refuse };
        let before = files(&passwd, &group, &shadow, &gshadow);
        let mut once = before.clone();
        if add(&mut once, other).is_ok() {
            let pairs = [
                (Some(&before.passwd), Some(&once.passwd)),
                (Some(&before.group), Some(&once.group)),
                (before.shadow.as_ref(), once.shadow.as_ref()),
                (before.gshadow.as_ref(), once.gshadow.as_ref()),
            ];
            for (then, now) in pairs {
                let (Some(then), Some(now)) = (then, now) else { continue };
                prop_assert!(kept(&then.text, &now.text), "{then:?} {now:?}");
            }
            prop_assert!(once.user(&name("keystone")).unwrap().is_some());
            let mut twice = once.clone();
            prop_assert!(add(&mut twice, other).is_ok());
            prop_assert_eq!(&twice, &once);
            let _ = twice.add_member(&name("tss"), &name("keystone"));
            let members = twice.clone();
            let _ = twice.add_member(&name("tss"), &name("keystone"));
            prop_assert_eq!(twice, members);
        }
    }
}
