//! [`check`]: the WHEEL file, in which a wheel says of which format it is (PEP 427).
//!
//! What else it says is in the file name (tags, build) or makes no difference in an environment of
//! Linux, where `purelib` and `platlib` are one directory.

use super::error::Fault;

/// Refuses the text of a WHEEL file whose `Wheel-Version` is absent or of another major version than
/// 1: such a wheel must not be installed by who does not know its format.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let refuse = |reason: String| Fault::Info { reason };
    let (headers, _) =
        mailparse::parse_headers(bytes).map_err(|error| refuse(error.to_string()))?;
    let version = headers
        .iter()
        .find(|header| header.get_key_ref().eq_ignore_ascii_case("Wheel-Version"))
        .map(|header| String::from_utf8_lossy(header.get_value_raw()).trim().to_owned())
        .ok_or_else(|| refuse("it has no `Wheel-Version`".into()))?;
    if version.split('.').next().and_then(|major| major.parse().ok()) == Some(1_u32) {
        Ok(())
    } else {
        Err(refuse(format!("its `Wheel-Version` is not of 1.x: {version}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_other_formats() {
        check(b"Generator: x (1.2)\nwheel-version: 1.9\nTag: odd\n").unwrap();
        let error = |text: &[u8]| check(text).unwrap_err().to_string();
        insta::assert_snapshot!(error(b"Wheel-Version: 2.0\n"), @"its WHEEL file cannot be used: its `Wheel-Version` is not of 1.x: 2.0");
        insta::assert_snapshot!(error(b"Tag: a\n"), @"its WHEEL file cannot be used: it has no `Wheel-Version`");
    }
}
