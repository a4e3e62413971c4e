//! [`CoreMetadata`]: the METADATA of a wheel or the PKG-INFO of a source tree, as far as resolving
//! and installing need it (the core metadata specification).

use pep440_rs::{Version, VersionSpecifiers};

use super::requirement::{
    ExtraName, PackageName, Requirement, package_name, parse_lenient, parse_specifiers_lenient,
};

/// What a release says of itself. Reading is lenient, as published metadata needs (see
/// [`parse_lenient`]); fields that nothing here uses are left unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreMetadata {
    /// The project, normalised.
    pub name: PackageName,
    /// The name as its author writes it.
    pub display_name: String,
    /// The version.
    pub version: Version,
    /// `Requires-Dist`, in order.
    pub requires_dist: Vec<Requirement>,
    /// `Requires-Python`; one that cannot be read even leniently counts as absent, as with pip.
    pub requires_python: Option<VersionSpecifiers>,
    /// `Provides-Extra`, in order; names that are not valid are left out.
    pub provides_extras: Vec<ExtraName>,
    /// `Dynamic`, lower-cased: the fields a build may still change (PEP 643).
    pub dynamic: Vec<String>,
    /// `Metadata-Version`, as written.
    pub metadata_version: Option<String>,
    /// `License-Expression`, as written (PEP 639).
    pub license: Option<String>,
}

impl CoreMetadata {
    /// Reads the text of a METADATA or PKG-INFO file. Bytes that are not UTF-8 are replaced: old
    /// files are in any encoding, and only ASCII fields are of interest.
    ///
    /// # Errors
    /// [`CoreMetadataError`] naming the field that is missing or cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoreMetadataError> {
        // Headers end at the first empty line; the description below them may be anything.
        let (headers, _) = mailparse::parse_headers(bytes)
            .map_err(|error| CoreMetadataError::Headers { reason: error.to_string() })?;
        let all = |field: &str| {
            headers
                .iter()
                .filter(move |header| header.get_key_ref().eq_ignore_ascii_case(field))
                .map(|header| String::from_utf8_lossy(header.get_value_raw()).trim().to_owned())
                .collect::<Vec<_>>()
        };
        let one = |field: &'static str| {
            all(field).into_iter().next().ok_or(CoreMetadataError::Missing { field })
        };
        let display_name = one("Name")?;
        let version = one("Version")?;
        let requires_dist = all("Requires-Dist")
            .iter()
            .map(|text| {
                parse_lenient(text).map_err(|error| CoreMetadataError::Field {
                    field: "Requires-Dist",
                    text: text.clone(),
                    reason: error.reason,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: package_name(&display_name).ok_or_else(|| CoreMetadataError::Field {
                field: "Name",
                text: display_name.clone(),
                reason: "it is not a valid project name".into(),
            })?,
            version: version.parse().map_err(|error: pep440_rs::VersionParseError| {
                CoreMetadataError::Field {
                    field: "Version",
                    text: version,
                    reason: error.to_string(),
                }
            })?,
            display_name,
            requires_dist,
            requires_python: all("Requires-Python")
                .first()
                .and_then(|text| parse_specifiers_lenient(text).ok()),
            provides_extras: all("Provides-Extra")
                .into_iter()
                .filter_map(|text| ExtraName::new(text).ok())
                .collect(),
            dynamic: all("Dynamic").into_iter().map(|text| text.to_lowercase()).collect(),
            metadata_version: all("Metadata-Version").into_iter().next(),
            license: all("License-Expression").into_iter().next(),
        })
    }

    /// Whether the dependencies of a source distribution are what its build will say too: PEP 643
    /// promises it from Metadata-Version 2.2 on, for fields not marked `Dynamic`.
    #[must_use]
    pub fn has_static_dependencies(&self) -> bool {
        let numbers: Vec<u32> = self
            .metadata_version
            .as_deref()
            .unwrap_or("0")
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect();
        numbers.as_slice() >= [2, 2].as_slice()
            && !self.dynamic.iter().any(|field| {
                matches!(field.as_str(), "requires-dist" | "requires-python" | "provides-extra")
            })
    }
}

/// Metadata that cannot be used, and the field at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoreMetadataError {
    /// The headers themselves cannot be read.
    #[error("the metadata is not a list of headers: {reason}")]
    Headers {
        /// What the mail parser said.
        reason: String,
    },
    /// A required field is absent.
    #[error("the metadata has no `{field}`")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field's text makes no sense.
    #[error("the metadata field `{field}` cannot be read: {reason}: {text}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_resolving_needs() {
        let metadata = CoreMetadata::parse(
            b"Metadata-Version: 2.4\nName: Foo.Bar\nVersion: 1.0\nRequires-Python: >= 3.8\n\
              Requires-Dist: storpool (<8,>=7.2.0)\nRequires-Dist: six; extra == 'old'\n\
              Provides-Extra: old\nDynamic: License\nSummary: na\xefve\n\nA description: with a colon\n",
        )
        .unwrap();
        assert_eq!(metadata.name.as_ref(), "foo-bar");
        assert_eq!(metadata.display_name, "Foo.Bar");
        assert_eq!(metadata.requires_dist.len(), 2);
        assert_eq!(metadata.provides_extras[0].to_string(), "old");
        assert!(metadata.has_static_dependencies());
    }

    #[test]
    fn names_the_field_at_fault() {
        let error = CoreMetadata::parse(b"Name: foo\n\n").unwrap_err();
        assert_eq!(error.to_string(), "the metadata has no `Version`");
        let error =
            CoreMetadata::parse(b"Name: foo\nVersion: 1\nRequires-Dist: ???\n").unwrap_err();
        assert!(error.to_string().contains("`Requires-Dist`"), "{error}");
    }

    #[test]
    fn dependencies_are_static_only_by_promise() {
        let with = |extra: &str| {
            let text = format!("{extra}Name: a\nVersion: 1\n");
            CoreMetadata::parse(text.as_bytes()).unwrap().has_static_dependencies()
        };
        assert!(with("Metadata-Version: 2.2\n"));
        assert!(!with("Metadata-Version: 2.1\n"));
        assert!(!with("Metadata-Version: 2.4\nDynamic: Requires-Dist\n"));
        assert!(!with(""));
    }
}
