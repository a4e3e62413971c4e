//! Who loci is to a registry, and what it says when that is not enough.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harbour::{Harbour, REPOSITORY, side_by_side};
use crate::support::registry::{Redirect, Registry};
use crate::world::Run;

const IMAGE: &str = "docker://REGISTRY/loci/requirements";
const PUSH: &str = "copy store: docker://REGISTRY/loci/requirements";
const INSTALL: &str =
    "install nova --wheels docker://REGISTRY/loci/requirements --prefix env --clear";

/// A credential helper called `test` that knows this login for the registry.
fn helper(harbour: &Harbour, name: &str, secret: &str) {
    let host = harbour.registry.host();
    let answer = json!({"ServerURL": host, "Username": name, "Secret": secret}).to_string();
    let script = format!(
        "#!/bin/sh\nread asked\n[ \"$1 $asked\" = \"get {host}\" ] && echo '{answer}' && exit\n\
         echo credentials not found in native keychain\nexit 1\n"
    );
    harbour.world.write("bin/docker-credential-test", script);
    let path = harbour.world.path("bin/docker-credential-test");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs loci with the helpers of this world.
#[track_caller]
fn run(harbour: &Harbour, machine: &str, arguments: &str) -> Run {
    let mut command = harbour.command_on(machine, arguments);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", harbour.world.path("bin").display()));
    harbour.run(&mut command)
}

/// Pushes and installs with what `prepare` has the user have.
#[track_caller]
fn case(registry: Registry, prepare: impl Fn(&Harbour)) -> Harbour {
    let harbour = Harbour::with(registry);
    prepare(&harbour);
    run(&harbour, "store", PUSH).good();
    run(&harbour, "machine", INSTALL).good();
    let there = harbour.world.files("env");
    assert!(there == harbour.installed("nova"), "other files");
    assert_eq!(harbour.registry.open_uploads(), 0);
    assert_eq!(harbour.registry.leaks().len(), 0);
    harbour
}

#[test]
fn every_kind_of_login_is_found() {
    let basic = || Registry::new().basic("me", "pass:word");
    let bearer = || Registry::new().bearer("me", "pass:word").redirect(Redirect::Elsewhere);
    for registry in [basic(), bearer(), Registry::new()] {
        case(registry, |harbour| harbour.log_in("me", "pass:word"));
    }
    case(bearer().identity_token("identity"), |harbour| {
        // `00000000-0000-0000-0000-000000000000:`, as cloud registries have it.
        let auth = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
        harbour.log_in_with(&json!({"auth": auth, "identitytoken": "identity"}));
    });
    for registry in [basic(), bearer()] {
        case(registry, |harbour| {
            helper(harbour, "me", "pass:word");
            let file = json!({"credHelpers": {harbour.registry.host(): "test"}});
            harbour.world.write("home/.docker/config.json", file.to_string());
        });
    }
    case(bearer().identity_token("identity"), |harbour| {
        helper(harbour, "<token>", "identity");
        let file = json!({"credsStore": "test", "auths": {harbour.registry.host(): {}}});
        harbour.world.write("home/.docker/config.json", file.to_string());
    });
}

#[test]
fn who_may_only_pull_needs_no_login_for_that() {
    for registry in [Registry::new().basic("me", "secret"), Registry::new().bearer("me", "secret")]
    {
        let harbour = case(registry.anonymous_pull(), |h| h.log_in("me", "secret"));
        fs::remove_dir_all(harbour.world.path("home")).unwrap();
        run(&harbour, "machine-2", INSTALL).good();
        run(&harbour, "machine-2", &format!("copy {IMAGE} oci:there")).good();
        assert!(harbour.world.files("there") == harbour.layout());
        let refused = run(&harbour, "store", PUSH).ends(1).err;
        assert!(refused.contains("without a login"), "{refused}");
    }
}

#[test]
fn a_token_that_ends_midway_is_followed_by_the_next() {
    side_by_side([3, 5, 9], |uses| {
        let registry = Registry::new().bearer("me", "secret");
        registry.token_uses(uses);
        let harbour = case(registry, |harbour| harbour.log_in("me", "secret"));
        assert!(harbour.registry.hits("GET /token") > 5);
        let copy = format!("copy {IMAGE} docker://REGISTRY/loci/copy");
        run(&harbour, "machine", &copy).good();
        let tags = |repository| harbour.registry.tags(repository);
        assert_eq!(tags(REPOSITORY)["latest"], tags("loci/copy")["latest"]);
    });
}

#[test]
fn one_token_serves_many_requests() {
    let harbour = case(Registry::new().bearer("me", "secret"), |harbour| {
        harbour.log_in("me", "secret");
    });
    // One for pushing and pulling, and one for pulling; the push also looks for referrers.
    assert!(harbour.registry.hits("GET /token") <= 3, "{}", harbour.registry.hits("GET /token"));
}

#[test]
fn a_mount_needs_leave_to_pull_from_there() {
    for registry in [Registry::new().bearer("me", "secret"), Registry::new().basic("me", "secret")]
    {
        let harbour = Harbour::with(registry);
        harbour.log_in("me", "secret");
        harbour.loci(PUSH).good();
        harbour.registry.forget_requests();
        harbour.loci(&format!("copy {IMAGE} docker://REGISTRY/loci/copy")).good();
        let posts = harbour.registry.requests().into_iter().filter(|r| r.is("POST /v2/loci/copy/"));
        let mounted = posts.filter(|request| request.status == Some(201)).count();
        // All but the artifacts' three, which loci makes itself.
        assert_eq!(mounted + 3, harbour.registry.blobs("loci/copy").len());
    }
}

/// What is said to who shows `login`, or nothing, when the registry wants a login.
#[track_caller]
fn refused(registry: Registry, login: Option<Value>, arguments: &str) -> String {
    let harbour = Harbour::with(registry);
    let image = crate::foreign_image::ForeignImage::new();
    image.put(&harbour.registry, REPOSITORY, "latest");
    if let Some(login) = login {
        harbour.log_in_with(&login);
    }
    let run = harbour.loci(arguments).ends(1);
    assert!(!run.err.contains("secret") && !run.err.contains("wrong"), "{}", run.err);
    assert!(!harbour.world.path("env").exists());
    // Asked again and again, a registry locks people out.
    let asked = harbour.registry.hits("GET /token") + harbour.registry.hits("POST /token");
    assert!(asked <= 3, "{asked}");
    run.err
}

#[test]
fn who_may_not_is_told_what_to_do() {
    let basic = || Registry::new().basic("me", "secret");
    let bearer = || Registry::new().bearer("me", "secret");
    insta::assert_snapshot!(refused(basic(), None, PUSH), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` without a login: 401 Unauthorized
      hint: log in with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer(), None, PUSH), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` without a login: 401 Unauthorized
      hint: log in with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(basic(), None, INSTALL), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` without a login: 401 Unauthorized: authentication required
      hint: log in with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer(), None, INSTALL), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` without a login: 401 Unauthorized: authentication required
      hint: log in with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    let wrong = || Some(json!({"auth": "bWU6d3Jvbmc="}));
    insta::assert_snapshot!(refused(basic(), wrong(), PUSH), @r#"
    error: `REGISTRY` refuses the login there is for it: 401 Unauthorized
      hint: log in anew with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer(), wrong(), PUSH), @r#"
    error: `REGISTRY` refuses the login there is for it: 401 Unauthorized: authentication required
      hint: log in anew with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer(), wrong(), INSTALL), @r#"
    error: `REGISTRY` refuses the login there is for it: 401 Unauthorized: authentication required
      hint: log in anew with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer(), Some(json!({"identitytoken": "wrong"})), INSTALL), @r#"
    error: `REGISTRY` refuses the login there is for it: 401 Unauthorized: authentication required
      hint: log in anew with `docker login REGISTRY` or `podman login REGISTRY`
    "#);
    let mine = || Some(json!({"auth": "bWU6c2VjcmV0"}));
    insta::assert_snapshot!(refused(basic().denied(REPOSITORY), mine(), PUSH), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` with the login there is: 403 Forbidden
      hint: ask for leave there, or log in as somebody who has it with `docker login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer().denied(REPOSITORY), mine(), PUSH), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` with the login there is: 401 Unauthorized
      hint: ask for leave there, or log in as somebody who has it with `docker login REGISTRY`
    "#);
    insta::assert_snapshot!(refused(bearer().denied(REPOSITORY), mine(), INSTALL), @r#"
    error: `REGISTRY` gives no access to `loci/requirements` with the login there is: 401 Unauthorized: authentication required
      hint: ask for leave there, or log in as somebody who has it with `docker login REGISTRY`
    "#);
}

#[test]
fn logins_that_cannot_be_read_are_said_to_be_so() {
    let harbour = Harbour::with(Registry::new().basic("me", "secret"));
    let config = |text: &str| harbour.world.write("home/.docker/config.json", text);
    config("{");
    insta::assert_snapshot!(harbour.loci(PUSH).ends(1).err, @"error: `HERE/home/.docker/config.json` is not a file of logins: an early end at line 1 column 1");
    config(&harbour.named(r#"{"auths": {"REGISTRY": {"auth": "bWU="}}}"#));
    insta::assert_snapshot!(harbour.loci(PUSH).ends(1).err, @"error: `HERE/home/.docker/config.json`: the `auth` of `REGISTRY` is not a name and a password in base64");
    config(&harbour.named(r#"{"credHelpers": {"REGISTRY": "missing"}}"#));
    insta::assert_snapshot!(harbour.loci(PUSH).ends(1).err, @r#"
    error: `docker-credential-missing`, which has the login for `REGISTRY`, cannot be run
      because: No such file or directory (os error 2)
    "#);
    let mut command = harbour.command(PUSH);
    command.env("REGISTRY_AUTH_FILE", "nowhere.json");
    insta::assert_snapshot!(harbour.run(&mut command).ends(1).err, @r#"
    error: the logins in `nowhere.json` cannot be read
      because: No such file or directory (os error 2)
    "#);
}
