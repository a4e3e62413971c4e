//! [`contradictions`]: pins that the global requirements of the same release exclude.
//!
//! Only what is written is compared, for one target; whether the pins go together is for the
//! resolver to say.

use std::fmt;

use crate::vocab::target::Target;

use super::constraints::admits;
use super::document::Place;
use super::pins::Pins;
use super::requirements::Requirements;

/// A pin and a requirement on the same name that do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The line of the pin.
    pub pin: Place,
    /// The line of the requirement.
    pub requirement: Place,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pin {} is excluded by {}", self.pin, self.requirement)
    }
}

/// The contradictions between `pins` and those of `requirements` whose markers hold for `target`, in
/// the order of the requirements. Without the markers, old branches contradict themselves.
#[must_use]
pub fn contradictions(
    pins: &Pins,
    requirements: &Requirements,
    target: &Target,
) -> Vec<Contradiction> {
    requirements
        .applicable(target)
        .filter_map(|(requirement, place)| {
            let pin = pins.get(&requirement.name)?;
            (!admits(requirement, pin))
                .then(|| Contradiction { pin: pin.place.clone(), requirement: place.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::constraints::Constraints;
    use crate::input::document::Document;
    use crate::input::testing::shared_document;
    use crate::vocab::target::tests::debian;

    fn lint(constraints: &Document, requirements: &Document, python: &str) -> Vec<String> {
        let target = debian(python);
        let pins = Constraints::parse(constraints).unwrap().pins(&target).unwrap();
        let requirements = Requirements::parse(requirements).unwrap();
        contradictions(&pins, &requirements, &target).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn markers_count() {
        let pins = Document::new("uc.txt", "oslo.config===8.8.0\nfoo===2.0a1\nbar===1\n");
        let requirements = Document::new(
            "gr.txt",
            "oslo.config<8.0.0;python_version<'3.6'\noslo.config!=4.3.0;python_version>='3.6'\n\
             foo>=1.0,!=2.0  # MIT\nbar!=1  # MIT\nbaz\n",
        );
        insta::assert_snapshot!(lint(&pins, &requirements, "3.11.7").join("\n"), @"the pin uc.txt:3: bar===1 is excluded by gr.txt:4: bar!=1");
    }

    #[test]
    fn the_branches_of_openstack_agree_with_themselves() {
        for (branch, python) in [("master", "3.11.7"), ("2025.2", "3.11.7"), ("yoga", "3.8.10")] {
            let document = |kind| shared_document(&format!("{branch}.{kind}.txt"));
            let (Some(pins), Some(requirements)) =
                (document("upper-constraints"), document("global-requirements"))
            else {
                return;
            };
            assert_eq!(lint(&pins, &requirements, python), [] as [&str; 0], "{branch}");
        }
    }
}
