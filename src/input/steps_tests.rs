//! Tests of reading steps: the files that come with loci, what is meant, and every fault by its line.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<ProjectSteps, InputError> {
    ProjectSteps::parse(&Document::new("dir/nova.toml", text))
}

#[test]
fn the_steps_of_loci_are_read() {
    let files = StepFiles::builtin();
    let named = |project: &str| files.get(&project.parse().unwrap());
    let nova = named("nova").unwrap();
    assert_eq!(nova.shell().unwrap().as_str(), "/bin/bash");
    assert_eq!(nova.variables()["NOVNC_REF"], "v1.0.0");
    assert!(matches!(nova.steps()[2].action, Action::Git { .. }));
    assert_eq!(nova.steps()[3].needs, ["NOVNC_REPO", "NOVNC_REF"]);
    assert!(named("horizon").unwrap().steps().len() > 10);
    assert!(named("keystone").unwrap().steps().iter().all(|step| !step.when.0.is_empty()));
    assert!(named("glance").is_none());
}

#[test]
fn a_file_is_of_the_project_it_says_or_is_called() {
    assert_eq!(parse("").unwrap().project().as_str(), "nova");
    assert_eq!(parse("project = \"heat\"").unwrap().project().as_str(), "heat");
}

#[track_caller]
fn holds(profiles: &str, active: &str, expected: bool) {
    let steps =
        parse(&format!("[[step]]\nname = \"x\"\nprofiles = {profiles}\npackages = [\"a\"]"));
    let active: Vec<_> = active.split_whitespace().collect();
    let when = &steps.unwrap().steps[0].when;
    assert_eq!(when.holds(&|name| active.contains(&name)), expected, "{profiles} {active:?}");
}

#[test]
fn profiles_are_lists_of_words() {
    holds("[\"apache\"]", "apache ldap", true);
    holds("[\"apache\"]", "ldap", false);
    holds("[\"apache !ldap\"]", "apache ldap", false);
    holds("[\"apache !ldap\"]", "apache", true);
    holds("[\"apache ldap\", \"platform:dpkg\"]", "apache platform:dpkg", true);
    holds("[\"apache ldap\", \"platform:dpkg\"]", "apache", false);
    assert!(Condition::default().holds(&|_| false));
}

#[test]
fn a_file_replaces_or_extends_the_one_before() {
    let step = |name: &str| format!("[[step]]\nname = \"{name}\"\npackages = []\n");
    let first = format!("shell = \"/bin/sh\"\n[variables]\nA = \"1\"\nB = \"2\"\n{}", step("one"));
    let more = format!("extends = true\n[variables]\nB = \"3\"\n{}", step("two"));
    let mut files = StepFiles::default();
    files.add(parse(&first).unwrap());
    files.add(parse(&more).unwrap());
    let nova: AccountName = "nova".parse().unwrap();
    let both = files.get(&nova).unwrap();
    assert_eq!(both.variables().values().collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(both.steps().iter().map(|step| &step.name).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(both.shell().unwrap().as_str(), "/bin/sh");
    files.add(parse(&step("three")).unwrap());
    assert_eq!(files.get(&nova).unwrap().steps().len(), 1);
}

#[test]
fn files_and_directories_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let step = "[[step]]\nname = \"x\"\npackages = [\"six\"]\n";
    std::fs::write(dir.path().join("glance.toml"), step).unwrap();
    std::fs::write(dir.path().join("heat.toml"), step).unwrap();
    std::fs::write(dir.path().join("README.md"), "no steps").unwrap();
    let mut files = StepFiles::default();
    files.add_from(dir.path()).unwrap();
    assert_eq!(files.0.keys().map(AccountName::as_str).collect::<Vec<_>>(), ["glance", "heat"]);
    files.add_from(&dir.path().join("heat.toml")).unwrap();
    std::fs::write(dir.path().join("more.toml"), format!("project = \"heat\"\n{step}")).unwrap();
    let error = files.add_from(dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "more.toml:1: a file beside it is of project `heat` too: project = \"heat\""
        )
    );
    let none = dir.path().join("none.toml");
    let error = files.add_from(&none).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read `{}`", none.display()));
}

#[test]
fn faults_are_named_with_their_lines() {
    let long = "shell = \"bash\"
[variables]
lower = \"\"
[[step]]
name = \"two actions\"
packages = [\"a\"]
write = { path = \"etc/x\", text = \"{none}\", mode = \"0998\" }
[[step]]
name = \"none\"
profiles = [\"!\"]
needs = [\"NONE\"]
[[step]]
name = \"a command\"
run = { command = [] }
[[step]]
name = \"a copy\"
copy = { from = [\"/a/[\"], except = [\"/**/b\"], to = \"/b\" }
[[step]]
name = \"a download\"
download = { url = \"\", sha256 = \"\", install = true, to = \"/x\" }
[[step]]
name = \"packages\"
profiles = []
packages = [\"b c\"]
";
    let faults: Vec<String> = [
        "[[step]]\nname = \"x\"\nwrite = { path = \"/x\" }\n",
        "[[step]]\nname = \"x\"\nwrote = {}\n",
        "[[step]]\nname = \"x\"\ndirectory = { path = \"/x\", owner = \"bob\" }\n",
        "[[step]]\npackages = []\n",
        "project = \"a/b\"\n",
        long,
    ]
    .into_iter()
    .map(|text| parse(text).unwrap_err().to_string())
    .collect();
    let unnamed = ProjectSteps::parse(&Document::new("0.toml", "")).unwrap_err();
    insta::assert_snapshot!(faults.join("\n--\n"), @r#"
    dir/nova.toml:3: missing field `text`: write = { path = "/x" }
    --
    dir/nova.toml:3: unknown field `wrote`, expected one of `name`, `profiles`, `needs`, `write`, `directory`, `symlink`, `copy`, `git`, `download`, `run`, `user`, `group`, `packages`: wrote = {}
    --
    dir/nova.toml:3: unknown variant `bob`, expected `root` or `project`: directory = { path = "/x", owner = "bob" }
    --
    dir/nova.toml:1: missing field `name`: [[step]]
    --
    dir/nova.toml:1: `a/b` cannot be the name of a user or group: project = "a/b"
    --
    dir/nova.toml:1: `bash` is not an absolute path: shell = "bash"
    dir/nova.toml:3: a variable is named in capital letters, digits and `_`: lower = ""
    dir/nova.toml:5: the step does more than one thing: name = "two actions"
    dir/nova.toml:7: a path in the image is absolute: write = { path = "etc/x", text = "{none}", mode = "0998" }
    dir/nova.toml:7: `{none}` is neither a word of loci nor one of `[variables]`: write = { path = "etc/x", text = "{none}", mode = "0998" }
    dir/nova.toml:7: a mode is three or four digits from 0 to 7: write = { path = "etc/x", text = "{none}", mode = "0998" }
    dir/nova.toml:9: the step does nothing: name = "none"
    dir/nova.toml:10: a profile has no name: profiles = ["!"]
    dir/nova.toml:11: this is not one of `[variables]`: needs = ["NONE"]
    dir/nova.toml:14: the command is empty: run = { command = [] }
    dir/nova.toml:17: this is not a pattern of paths: invalid range pattern: copy = { from = ["/a/["], except = ["/**/b"], to = "/b" }
    dir/nova.toml:17: a pattern has one directory for each part: no `**`: copy = { from = ["/a/["], except = ["/**/b"], to = "/b" }
    dir/nova.toml:20: a download has either `install = true`, or `to` and `mode`: download = { url = "", sha256 = "", install = true, to = "/x" }
    dir/nova.toml:23: no profile is listed, so that the step would never apply: profiles = []
    dir/nova.toml:24: expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `c`: b c
    "#);
    assert_eq!(
        unnamed.to_string(),
        "0.toml:1: the file is not named as a project, and `project` is missing: "
    );
}

proptest! {
    #[test]
    fn no_text_panics(
        text in "(\\[\\[step\\]\\]|name|=|\"|[{}]|write|path|/|run|copy|from|\\[|\\]|mode|a|é|\n| |needs){0,20}"
    ) {
        let _ = parse(&text).map_err(|error| error.to_string());
    }
}
