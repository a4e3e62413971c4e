//! Tests of planning steps, and of acting on a plan in a directory.

use std::cell::RefCell;
use std::path::Path;

use super::*;
use crate::input::document::Document;
use crate::input::steps::StepFiles;
use crate::service::act::{self, ActError, Fetched};

const IDS: Ids = Ids { uid: 42424, gid: 42425 };

fn planned(
    steps: &ProjectSteps,
    profiles: &str,
    variables: &[(&str, &str)],
) -> Result<StepPlan, PlanError> {
    let active: Vec<_> = profiles.split_whitespace().collect();
    let scheme = Scheme::for_python(12, Path::new("/var/lib/openstack"));
    let circumstances = Circumstances {
        project: steps.project(),
        ids: IDS,
        scheme: &scheme,
        is_active: &|name| active.contains(&name),
        variable: &|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        },
    };
    StepPlan::new(steps, &circumstances)
}

fn builtin(project: &str) -> ProjectSteps {
    StepFiles::builtin().get(&project.parse().unwrap()).unwrap().clone()
}

fn written(text: &str) -> ProjectSteps {
    ProjectSteps::parse(&Document::new("nova.toml", text)).unwrap()
}

/// A plan, a line a step.
fn shown(plan: &StepPlan) -> String {
    let mut lines = Vec::new();
    for account in &plan.accounts {
        lines.push(match account {
            AccountStep::User(user) => format!("user {} {}", user.name, user.uid),
            AccountStep::Group(group, members) => {
                let members: Vec<_> = members.iter().map(AccountName::as_str).collect();
                format!("group {} {} {}", group.name, group.gid, members.join(","))
            }
        });
    }
    lines.extend(plan.packages.iter().map(|package| format!("package {package}")));
    lines.extend(plan.installs.iter().map(|download| format!("install {}", download.url)));
    for step in plan.acts() {
        lines.push(match &step.act {
            Act::Write(Node { path, kind, mode, uid, gid }) => match kind {
                NodeKind::Directory => format!("directory /{path} {mode:04o} {uid}:{gid}"),
                NodeKind::File(text) => {
                    format!("file /{path} {mode:04o} {uid}:{gid} {}", text.len())
                }
                NodeKind::Symlink(target) => format!("link /{path} -> {target}"),
            },
            Act::Tree { git, to } => format!("git {git:?} /{to}"),
            Act::File { download, node } => format!("fetch {} /{}", download.url, node.path),
            Act::Copy(copy) => format!("copy {} to /{}", copy.from.join(" "), copy.to),
            Act::Run(run) => {
                let command: Vec<_> =
                    run.command.iter().filter(|word| !word.contains('\n')).collect();
                format!("run {command:?} as {} in {}", run.ids.uid, run.directory)
            }
        });
    }
    lines.join("\n")
}

#[test]
fn what_nova_needs() {
    let plan = planned(&builtin("nova"), "", &[]).unwrap();
    assert!(!plan.needs_root());
    assert_eq!(plan.fetches().len(), 2);
    insta::assert_snapshot!(shown(&plan), @r#"
    group tss 59 nova
    user tss 59
    git Git { url: "https://github.com/novnc/novnc", reference: Some("v1.0.0") } /usr/share/novnc
    link /usr/share/novnc/vnc_auto.html -> vnc_lite.html
    git Git { url: "https://gitlab.freedesktop.org/spice/spice-html5.git", reference: Some("spice-html5-0.1.6") } /usr/share/spice-html5
    "#);
    let plan = planned(&builtin("nova"), "", &[("NOVNC_REPO", ""), ("SPICE_REF", "main")]).unwrap();
    insta::assert_snapshot!(shown(&plan), @r#"
    group tss 59 nova
    user tss 59
    git Git { url: "https://gitlab.freedesktop.org/spice/spice-html5.git", reference: Some("main") } /usr/share/spice-html5
    "#);
}

#[test]
fn what_keystone_needs() {
    let plan = planned(&builtin("keystone"), "platform:dpkg apache", &[]).unwrap();
    assert_eq!(plan, StepPlan::default());
    let sha = "0".repeat(64);
    let url = ("MOD_OAUTH2_URL", "https://example.org/mod_oauth2.deb");
    let set = [url, ("MOD_OAUTH2_SHA256", &sha)];
    for apart in ["apache", "mod_oauth2"] {
        let profiles = format!("platform:dpkg {apart}");
        assert_eq!(planned(&builtin("keystone"), &profiles, &set).unwrap(), StepPlan::default());
    }
    let plan = planned(&builtin("keystone"), "platform:dpkg apache mod_oauth2", &set).unwrap();
    insta::assert_snapshot!(shown(&plan), @r#"
    install https://example.org/mod_oauth2.deb
    run ["a2enmod", "--quiet", "oauth2"] as 0 in /
    "#);
    let error = planned(&builtin("keystone"), "apache mod_oauth2", &[url]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the step `mod_oauth2` needs the SHA-256 of what it fetches, not ``"
    );
    for url in
        ["https://example.org/mod/", "https://example.org/.deb", "https://example.org/a.deb/b"]
    {
        let set = [("MOD_OAUTH2_URL", url), ("MOD_OAUTH2_SHA256", &sha)];
        let error =
            planned(&builtin("keystone"), "platform:dpkg apache mod_oauth2", &set).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the step `mod_oauth2` installs `{url}`, which is not called as a package: `.deb` or `.rpm` is at \
                 its end"
            )
        );
    }
}

#[test]
fn what_horizon_needs() {
    let plan = planned(&builtin("horizon"), "", &[]).unwrap();
    assert!(plan.needs_root() && plan.fetches().is_empty());
    insta::assert_snapshot!(shown(&plan), @r#"
    file /var/lib/openstack/bin/manage.py 0755 0:0 321
    link /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/manage.py -> /var/lib/openstack/bin/manage.py
    link /usr/local/share/openstack_dashboard -> /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard
    file /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/local/local_settings.py 0644 0:0 271
    directory /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/local 0755 42424:42425
    copy /var/lib/openstack/lib/python3.12/site-packages/*/enabled/_[1-9]*.py /var/lib/openstack/lib/python3.12/site-packages/*/local/enabled/_[1-9]*.py to /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/local/enabled
    copy /var/lib/openstack/lib/python3.12/site-packages/*/local_settings.d/_[0-9]*.py /var/lib/openstack/lib/python3.12/site-packages/*/local/local_settings.d/_[0-9]*.py to /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/local/local_settings.d
    copy /var/lib/openstack/lib/python3.12/site-packages/*/conf/*_policy.yaml /var/lib/openstack/lib/python3.12/site-packages/*/conf/*_policy.json to /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/conf
    copy /var/lib/openstack/lib/python3.12/site-packages/*/conf/default_policies/*.yaml /var/lib/openstack/lib/python3.12/site-packages/*/conf/default_policies/*.json to /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/conf/default_policies
    link /etc/openstack-dashboard/default_policies -> /var/lib/openstack/lib/python3.12/site-packages/openstack_dashboard/conf/default_policies
    run ["/var/lib/openstack/bin/python", "-c", "/var/lib/openstack/lib/python3.12/site-packages"] as 0 in /
    run ["/var/lib/openstack/bin/python", "/var/lib/openstack/bin/manage.py", "collectstatic", "--clear", "--noinput"] as 0 in /
    run ["/var/lib/openstack/bin/python", "/var/lib/openstack/bin/manage.py", "compress", "--force"] as 0 in /
    run ["/var/lib/openstack/bin/python", "-c", "/var/www/html/horizon/dashboard/manifest.json"] as 0 in /
    "#);
    let Act::Run(run) = &plan.acts()[11].act else { panic!("a command") };
    let env = run.env.iter().map(|(name, value)| format!("{name}={value}"));
    insta::assert_snapshot!(env.collect::<Vec<_>>().join("\n"), @r"
    HOME=/root
    HORIZON_SECRET_KEY=only while the image is made
    LC_ALL=C.UTF-8
    PATH=/var/lib/openstack/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    PYTHONDONTWRITEBYTECODE=1
    PYTHONHASHSEED=0
    ");
}

#[track_caller]
fn case(step: &str, variables: &[(&str, &str)], said: &str) {
    let text = format!("[variables]\nA = \"a\"\nNONE = \"\"\n[[step]]\nname = \"x\"\n{step}\n");
    let outcome = match planned(&written(&text), "", variables) {
        Ok(plan) => shown(&plan),
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    };
    assert_eq!(outcome, said, "{step}");
}

#[test]
fn values_make_a_step_or_a_fault() {
    let a_link = "symlink = { path = \"/usr/{A}\", target = \"{project}-{python}\" }";
    case(a_link, &[], "link /usr/a -> nova-3.12");
    case(a_link, &[("A", "b")], "link /usr/b -> nova-3.12");
    case(a_link, &[("A", "")], "");
    let climbs = "the step `x` needs an absolute path in the image: the path `usr/../../x` climbs out \
                  with `..`";
    case(a_link, &[("A", "../../x")], climbs);
    case(
        "write = { path = \"/etc/{A}\", text = \"\" }",
        &[("A", "hosts")],
        "the step `x` puts something at `/etc/hosts`, where every container has a file of its own",
    );
    case("needs = [\"NONE\"]\npackages = [\"six\"]", &[], "");
    case("packages = [\"six>1\"]", &[], "package six>1");
    case(
        "directory = { path = \"/x\", owner = \"project\" }",
        &[],
        "directory /x 0755 42424:42425",
    );
    let a_user =
        "user = { name = \"{A}\", uid = \"7\", group = \"g\", home = \"/\", shell = \"/s\" }";
    case(a_user, &[], "user a 7");
    case(
        a_user,
        &[("A", "a b")],
        "the step `x` cannot add its user or group: `a b` cannot be the name of a user or group",
    );
    case(
        "group = { name = \"g\", gid = \"0\" }",
        &[],
        "the step `x` cannot add its user or group: `0` is the number of root",
    );
    let a_tree = "git = { url = \"{A}\", ref = \"v1\", to = \"/t\" }";
    case(
        a_tree,
        &[("A", "--upload-pack=x")],
        "the step `x` has no repository: `--upload-pack=x` is not the source of a project: neither it nor its reference may begin with a hyphen",
    );
    case(
        a_tree,
        &[("A", "/a/tree.tar.gz")],
        "the step `x` has no repository: `/a/tree.tar.gz` is not the source of a project: a reference \
         means nothing to an archive",
    );
    let sha = "f".repeat(64);
    let a_file = format!("download = {{ url = \"{{A}}\", sha256 = \"{sha}\", to = \"/f\" }}");
    case(&a_file, &[("A", "https://u:p@h/f?t=1")], "fetch https://u:p@h/f?t=1 /f");
    case(&a_file, &[("A", "ftp://u:p@h/f")], "the step `x` cannot fetch from `ftp://****@h/f`");
    case(
        "run = { command = [\"{A}\"], directory = \"/d\", user = \"project\" }",
        &[],
        "run [\"a\"] as 42424 in /d",
    );
}

#[test]
fn accounts_of_steps_are_added() {
    let plan = planned(&builtin("nova"), "", &[]).unwrap();
    let file =
        |path: &str, text: &str| Some(Node::file(path.parse().unwrap(), text.as_bytes().to_vec()));
    for (passwd, group, said) in [
        (
            "",
            "",
            "nova:x:1:1::/:\ntss:!:59:59:tss user:/dev/null:/usr/sbin/nologin\n tss:x:59:nova\n",
        ),
        // A distribution's package made it: it stays, and only the member is new.
        ("tss:x:105:106::/:\n", "tss:x:106:\n", " tss:x:106:nova\n"),
        ("bin:x:59:1::/:\n", "", "the user id 59 is in use by `bin`"),
    ] {
        let passwd = format!("nova:x:1:1::/:\n{passwd}");
        let before =
            AccountFiles::new(file("etc/passwd", &passwd), file("etc/group", group), None, None);
        let mut files = before.clone();
        let outcome = match plan.add_accounts(&mut files) {
            Ok(()) => {
                let mut texts = [String::new(), String::new()];
                for node in files.changed_since(&before) {
                    let NodeKind::File(text) = node.kind else { unreachable!() };
                    let index = usize::from(node.path.as_str() == "etc/group");
                    texts[index] = String::from_utf8(text).unwrap();
                }
                texts.join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, said);
    }
}

fn mine(plan: &mut StepPlan) {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    for step in &mut plan.acts {
        if let Act::Write(node) | Act::File { node, .. } = &mut step.act {
            *node = node.clone().owned_by(uid, gid);
        }
    }
}

#[test]
fn a_plan_is_acted_on_in_its_order() {
    if rustix::process::geteuid().as_raw() != 0 {
        println!("skipped: copies and trees become root's, which needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("plug/enabled")).unwrap();
    std::fs::write(root.join("plug/enabled/_1.py"), "panel").unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join(".git")).unwrap();
    std::fs::write(tree.join("vnc.html"), "page").unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "fetched").unwrap();
    let digest = Digest::of(b"fetched").hex();
    let steps = written(&format!(
        "[[step]]
        name = \"write\"
        write = {{ path = \"/a/{{project}}\", text = \"{{python}}\" }}
        [[step]]
        name = \"git\"
        git = {{ url = \"https://h/novnc\", ref = \"v1\", to = \"/usr/share/novnc\" }}
        [[step]]
        name = \"download\"
        download = {{ url = \"https://h/f\", sha256 = \"{digest}\", to = \"/f\", mode = \"0600\" }}
        [[step]]
        name = \"copy\"
        copy = {{ from = [\"/plug/enabled/_*.py\"], to = \"/a\" }}
        [[step]]
        name = \"run\"
        run = {{ command = [\"look\"] }}
        [[step]]
        name = \"link\"
        symlink = {{ path = \"/l\", target = \"f\" }}"
    ));
    let mut plan = planned(&steps, "", &[]).unwrap();
    mine(&mut plan);
    let fetches = plan.fetches();
    let fetched: Fetched = fetches.into_iter().zip([tree.clone(), file.clone()]).collect();
    let ran = RefCell::new(Vec::new());
    let mut run = |step: &RunStep| {
        let is_there = ["a/nova", "usr/share/novnc/vnc.html", "f", "a/_1.py", "l"]
            .map(|path| root.join(path).exists());
        ran.borrow_mut().push((step.command.clone(), is_there));
        Ok(())
    };
    act::act(&root, &plan, &fetched, &mut run).unwrap();
    assert_eq!(*ran.borrow(), [(vec!["look".to_owned()], [true, true, true, true, false])]);
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(
        (read("a/nova"), read("a/_1.py"), read("l")),
        ("3.12".into(), "panel".into(), "fetched".into())
    );
    assert!(!root.join("usr/share/novnc/.git").exists());

    let mut said = vec![act::nodes(&plan, &fetched).unwrap_err()];
    std::fs::write(&file, "other").unwrap();
    said.push(act::act(&root, &plan, &fetched, &mut run).unwrap_err());
    said.push(act::act(&root, &plan, &Fetched::new(), &mut run).unwrap_err());
    std::fs::write(&file, "fetched").unwrap();
    let mut fails = |_: &RunStep| Err("exit status 1".into());
    said.push(act::act(&root, &plan, &fetched, &mut fails).unwrap_err());
    let said: Vec<_> = said.iter().map(ActError::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    the step `copy` can only be done in a root
    what the step `download` fetched is `sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa` and not `sha256:0c7fcf412c36e9e1cfc3cca37cec9afedcfca86e1943f6827c36e88dfda41642`
    the step `git` cannot read what was fetched for it
    the step `run` failed to run `look`
    ");
}

#[test]
fn a_plan_without_commands_is_nodes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vnc_lite.html"), "").unwrap();
    let plan = planned(&builtin("nova"), "", &[("SPICE_REPO", "")]).unwrap();
    let fetched = plan.fetches().into_iter().map(|fetch| (fetch, dir.path().to_owned())).collect();
    let nodes = act::nodes(&plan, &fetched).unwrap();
    let paths: Vec<_> = nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(
        paths,
        ["usr/share/novnc", "usr/share/novnc/vnc_lite.html", "usr/share/novnc/vnc_auto.html"]
    );
}
