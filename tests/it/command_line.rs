//! The command as it is typed: variables beside options, and what help says.

use assert_cmd::Command;

/// `loci` with no variables but `variables`, at home in a directory of its own.
fn loci(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_loci"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// A Dockerfile that passes its `ARG`s on sets every variable, most of them to nothing.
#[test]
fn an_empty_variable_is_unset() {
    for name in ["LOCI_STORE", "LOCI_PROGRESS"] {
        assert_eq!(loci(&["store", "ls"], &[(name, "")]).0, Some(0), "{name}");
    }
    for name in ["PIP_INDEX_URL", "PIP_CERT", "PIP_RETRIES", "PIP_NO_INDEX", "LOCI_JOBS"] {
        let (_, said) = loci(&["lock", "six", "--python", "no-such-python"], &[(name, "")]);
        assert!(said.contains("cannot run the interpreter `no-such-python`"), "{name}: {said}");
    }
}

/// pip takes `1`, and so do those who write for it.
#[test]
fn a_switch_is_set_by_its_variable() {
    for name in ["PIP_NO_INDEX", "LOCI_OFFLINE"] {
        let (_, said) = loci(&["lock", "six", "--python", "no-such-python"], &[(name, "1")]);
        assert!(said.contains("cannot run the interpreter `no-such-python`"), "{name}: {said}");
    }
}

#[test]
fn help_shows_no_password() {
    let url = [("PIP_INDEX_URL", "https://me:secret@index.test/simple")];
    let (code, said) = loci(&["lock", "--help"], &url);
    assert_eq!(code, Some(0));
    assert!(said.contains("PIP_INDEX_URL") && !said.contains("secret"), "{said}");
}

/// A summary line comes first, then examples, then the reference.
#[test]
fn help_begins_with_what_it_is_for() {
    for verb in [&["--help"][..], &["build", "requirements", "-h"], &["install", "--help"]] {
        let (_, said) = loci(verb, &[]);
        let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("no {text}: {said}"));
        assert!(at("Examples:") < at("Usage:") && at("Usage:") < at("Options:"), "{said}");
    }
}
