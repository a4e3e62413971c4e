//! Tests that the Dockerfiles pass on every variable that means something in them.

use std::collections::BTreeSet;

use super::testing::command;
use crate::input::lists;
use crate::input::steps::StepFiles;

const SERVICE: &str = include_str!("../../Dockerfile");
const REQUIREMENTS: &str = include_str!("../../dockerfiles/requirements/Dockerfile");

/// The build arguments of a Dockerfile's stages, which are what its commands see.
fn arguments(dockerfile: &str) -> BTreeSet<&str> {
    let (_, stages) = dockerfile.split_once("\nFROM ").unwrap();
    stages.lines().filter_map(|line| line.strip_prefix("ARG ")).collect()
}

/// The variables that a verb reads.
fn variables(verb: &[&str]) -> BTreeSet<String> {
    let mut command = command();
    command.build();
    let verb = verb.iter().fold(&command, |command, name| command.find_subcommand(name).unwrap());
    let variables = verb.get_arguments().filter_map(|argument| argument.get_env());
    variables.map(|name| name.to_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn case(dockerfile: &str, read: &BTreeSet<String>) {
    let passed = arguments(dockerfile);
    // A store below the root would stay in the image.
    let missing: Vec<_> = read
        .iter()
        .filter(|name| !passed.contains(name.as_str()) && *name != "LOCI_STORE")
        .collect();
    assert!(missing.is_empty(), "no ARG: {missing:?}");
}

#[test]
fn every_variable_is_a_build_argument() {
    let mut read = variables(&["install"]);
    for project in lists::projects() {
        let steps = StepFiles::builtin();
        let steps = steps.get(&project.parse().unwrap());
        read.extend(steps.iter().flat_map(|steps| steps.variables().keys().cloned()));
    }
    read.insert("SOURCE_DATE_EPOCH".into());
    assert!(read.contains("MOD_OAUTH2_URL") && read.contains("PROFILES"));
    case(SERVICE, &read);
    let mut read = variables(&["build", "requirements"]);
    read.insert("SOURCE_DATE_EPOCH".into());
    case(REQUIREMENTS, &read);
}

/// The same as those of `loci build`, as far as a Dockerfile can know.
#[test]
fn a_service_is_labelled() {
    for label in [
        "org.opencontainers.image.title=$PROJECT",
        "org.opencontainers.image.base.name=$FROM",
        "org.openstack.loci.project=$PROJECT",
        "org.openstack.loci.ref=$PROJECT_REF",
    ] {
        assert!(SERVICE.contains(label), "{label}");
    }
}
