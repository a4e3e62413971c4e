//! pip's options, and what each of them is here. Only the table: how a text of them is read is
//! [`pip_args`](super::pip_args)'s matter.

/// What an option of pip is to loci.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An option of ours, by its long name without the hyphens.
    Ours(&'static str),
    /// That pip's own variables don't count.
    Isolated,
    /// Nothing at all: it is about what loci has not got, or does anyway.
    Nothing,
    /// Nothing that loci could do, for this reason; to leave it out in silence would be wrong.
    Refused(&'static str),
}

/// Whether an option is followed by a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// It stands alone.
    Nothing,
    /// `--option value`, `--option=value`, `-ovalue`.
    Value,
}

use Meaning::{Isolated, Nothing, Ours, Refused};

const FLAG: Takes = Takes::Nothing;
const VALUE: Takes = Takes::Value;

const PLACE: &str = "where a service goes is loci's own business";
const TARGET: &str = "wheels are for the Python that `--python` names";
const WHAT: &str = "it would add to what is installed, which `PIP_PACKAGES` does";
const HOOKS: &str = "how single packages are built is in loci's own rules";
const ENDS: &str = "it would have pip do something else";

/// Every option of `pip install`, `pip wheel` and `pip download`: its names, whether it takes a value,
/// and what it is here.
///
/// `--prefer-binary` is nothing since pins decide on versions, and of one version a wheel is always
/// preferred. `--no-cache-dir` is nothing since the store is no cache of downloads.
pub(super) const OPTIONS: &[(&[&str], Takes, Meaning)] = &[
    (&["-i", "--index-url", "--pypi-url"], VALUE, Ours("index-url")),
    (&["--extra-index-url"], VALUE, Ours("extra-index-url")),
    (&["-f", "--find-links"], VALUE, Ours("find-links")),
    (&["--no-index"], FLAG, Ours("no-index")),
    (&["--pre"], FLAG, Ours("pre")),
    (&["--no-binary"], VALUE, Ours("no-binary")),
    (&["--only-binary"], VALUE, Ours("only-binary")),
    (&["-c", "--constraint"], VALUE, Ours("constraints")),
    (&["--build-constraint"], VALUE, Ours("build-constraint")),
    (&["--no-deps", "--no-dependencies"], FLAG, Ours("no-deps")),
    (&["--python"], VALUE, Ours("python")),
    (&["--trusted-host"], VALUE, Ours("trusted-host")),
    (&["--cert"], VALUE, Ours("cert")),
    (&["--proxy"], VALUE, Ours("proxy")),
    (&["--retries"], VALUE, Ours("retries")),
    (&["--timeout", "--default-timeout"], VALUE, Ours("timeout")),
    (&["-q", "--quiet"], FLAG, Ours("quiet")),
    (&["-v", "--verbose"], FLAG, Ours("verbose")),
    (&["--isolated"], FLAG, Isolated),
    // What pip keeps, draws, asks and says.
    (&["--cache-dir"], VALUE, Nothing),
    (&["--no-cache-dir", "--no-cache"], FLAG, Nothing),
    (&["--progress-bar"], VALUE, Nothing),
    (&["--no-color"], FLAG, Nothing),
    (&["--no-input"], FLAG, Nothing),
    (&["--debug"], FLAG, Nothing),
    (&["--disable-pip-version-check"], FLAG, Nothing),
    (&["--no-python-version-warning"], FLAG, Nothing),
    (&["--root-user-action"], VALUE, Nothing),
    (&["--no-warn-script-location"], FLAG, Nothing),
    (&["--no-warn-conflicts"], FLAG, Nothing),
    (&["--no-clean"], FLAG, Nothing),
    (&["--resume-retries"], VALUE, Nothing),
    (&["--use-feature"], VALUE, Nothing),
    // What loci does anyway: an environment is new, is Python's own, and has no `.pyc`.
    (&["--prefer-binary"], FLAG, Nothing),
    (&["--use-pep517"], FLAG, Nothing),
    (&["--check-build-dependencies"], FLAG, Nothing),
    (&["--no-compile"], FLAG, Nothing),
    (&["-U", "--upgrade"], FLAG, Nothing),
    (&["--upgrade-strategy"], VALUE, Nothing),
    (&["--force-reinstall"], FLAG, Nothing),
    (&["-I", "--ignore-installed"], FLAG, Nothing),
    (&["--break-system-packages"], FLAG, Nothing),
    (&["--require-virtualenv", "--require-venv"], FLAG, Nothing),
    // What would be wrong to leave out in silence.
    (&["-r", "--requirement"], VALUE, Refused(WHAT)),
    (&["-e", "--editable"], VALUE, Refused(WHAT)),
    (&["--group"], VALUE, Refused(WHAT)),
    (&["-t", "--target"], VALUE, Refused(PLACE)),
    (&["-d", "--dest", "--destination-dir"], VALUE, Refused(PLACE)),
    (&["-w", "--wheel-dir"], VALUE, Refused(PLACE)),
    (&["--user"], FLAG, Refused(PLACE)),
    (&["--root"], VALUE, Refused(PLACE)),
    (&["--prefix"], VALUE, Refused(PLACE)),
    (&["--src", "--source", "--source-dir", "--source-directory"], VALUE, Refused(PLACE)),
    (&["--platform"], VALUE, Refused(TARGET)),
    (&["--python-version"], VALUE, Refused(TARGET)),
    (&["--implementation"], VALUE, Refused(TARGET)),
    (&["--abi"], VALUE, Refused(TARGET)),
    (&["--ignore-requires-python"], FLAG, Refused(TARGET)),
    (&["--no-build-isolation"], FLAG, Refused("every build has an environment of its own")),
    (&["--no-use-pep517"], FLAG, Refused(HOOKS)),
    (&["-C", "--config-settings", "--config-setting"], VALUE, Refused(HOOKS)),
    (&["--global-option"], VALUE, Refused(HOOKS)),
    (&["--build-option"], VALUE, Refused(HOOKS)),
    (&["--install-option"], VALUE, Refused(HOOKS)),
    (&["--no-verify"], FLAG, Refused("every wheel is checked")),
    (&["--compile"], FLAG, Refused("no `.pyc` is written, for its bytes are not the same twice")),
    (&["--require-hashes"], FLAG, Refused("constraints have no hashes; the lock of a set has")),
    (&["--client-cert"], VALUE, Refused("loci shows no certificate of its own")),
    (&["--keyring-provider"], VALUE, Refused("logins come from a netrc file or the URL")),
    (&["--use-deprecated"], VALUE, Refused("loci has nothing of pip's past")),
    (&["--uploaded-prior-to"], VALUE, Refused("loci takes no heed of when a file was published")),
    (&["--exists-action"], VALUE, Refused(PLACE)),
    (&["--log", "--log-file", "--local-log"], VALUE, Refused("loci writes no log of its own")),
    (&["--report"], VALUE, Refused("`--json` says what was done")),
    (&["--dry-run"], FLAG, Refused(ENDS)),
    (&["-h", "--help"], FLAG, Refused(ENDS)),
    (&["-V", "--version"], FLAG, Refused(ENDS)),
];

/// The option that is called `name`, with its hyphens.
pub(super) fn find(name: &str) -> Option<(Takes, Meaning)> {
    let found = OPTIONS.iter().find(|(names, ..)| names.contains(&name));
    found.map(|(_, takes, meaning)| (*takes, *meaning))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_one_options() {
        let names = || OPTIONS.iter().flat_map(|(names, ..)| *names);
        assert_eq!(names().collect::<BTreeSet<_>>().len(), names().count());
        for name in names() {
            assert!(name.starts_with("--") || name.len() == 2 && name.starts_with('-'), "{name}");
        }
    }
}
