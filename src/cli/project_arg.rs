//! A project as it is given on the command line: by LOCI's name, or as a requirement.

use super::exit::CliError;
use crate::input::project::distribution_of;
use crate::vocab::requirement::{Requirement, parse_strict};

/// Reads `heat`, `keystone[ldap]` or `nova>=30` as a requirement on the project's distribution.
pub(super) fn parse(text: &str) -> Result<Requirement, CliError> {
    let mut requirement = match parse_strict(text) {
        Ok(requirement) => requirement,
        Err(error) => {
            // What looks like a bare name is told as one.
            if !text.contains(['[', '<', '>', '=', '!', '~', ';', '@']) {
                distribution_of(text)?;
            }
            return Err(CliError::Value {
                option: "PROJECT",
                text: text.into(),
                reason: format!("is not a requirement: {error}"),
            });
        }
    };
    requirement.name = distribution_of(requirement.name.as_ref())?;
    Ok(requirement)
}
