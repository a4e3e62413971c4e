//! [`Sbom`]: the software bill of materials of a set or a service, as `CycloneDX` 1.6 (ECMA-424) has it.
//!
//! It is made of plain values, and equal values are equal bytes: its serial number is taken from its content, and
//! its time is the image's. Whether what it lists is there is not its matter.

use std::collections::BTreeMap;

use packageurl::PackageUrl;
use serde_cyclonedx::cyclonedx::v_1_6::{
    Component, ComponentBuilder, CycloneDx, Dependency, ExternalReference, Hash, HashAlg,
    LicenseChoiceUrl, LicenseChoiceUrlVariant1ItemLicense, Metadata, MetadataTools,
    MetadataToolsVariant0, Property,
};
use serde_json::Value;

use super::index_json::{IndexedWheel, WheelIndex};
use super::packages::{DistributionPackage, System};
use crate::store::layout::canonical_json;
use crate::store::set::Origin;
use crate::vocab::digest::Digest;
use crate::vocab::distro::Packaging;
use crate::vocab::requirement::PackageName;
use crate::vocab::wheel_filename::WheelFilename;

/// The media type of `CycloneDX` as JSON, registered with IANA.
pub const SBOM_TYPE: &str = "application/vnd.cyclonedx+json";
/// What the described image is called within its bill.
const SUBJECT: &str = "image";
/// What a base is called that nobody else can find.
const UNPUBLISHED: &str = "base";

/// A software bill of materials.
#[derive(Debug, Clone, PartialEq)]
pub struct Sbom(CycloneDx);

/// What a bill is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name: `requirements`, `keystone`.
    pub name: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// When it is said to have been made, as RFC 3339 has it.
    pub created: Option<String>,
}

/// A wheel that it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWheel {
    /// Its file name, and so its project and version.
    pub filename: WheelFilename,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// Its licence as an SPDX expression, where it says so (PEP 639).
    pub license: Option<String>,
    /// Where it came from, as far as that is known.
    pub origin: Option<Origin>,
}

/// Python packages that were there before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Earlier {
    /// Each with its version.
    pub packages: Vec<(PackageName, String)>,
    /// The bill of the image that had them.
    pub bill: Option<Sbom>,
}

impl Earlier {
    /// What the earlier bill says of each package that is still there, or its name and version alone.
    fn components(&self) -> impl Iterator<Item = Component> {
        let said = self.bill.iter().flat_map(|bill| bill.0.components.iter().flatten());
        let said: BTreeMap<&str, &Component> =
            said.filter_map(|component| Some((component.purl.as_deref()?, component))).collect();
        self.packages.iter().map(move |(name, version)| {
            let purl = purl("pypi", None, name.as_ref(), version, &[]);
            match purl.as_deref().and_then(|purl| said.get(purl)) {
                Some(component) => (*component).clone(),
                None => Component {
                    bom_ref: Some(format!("{name}=={version}")),
                    purl,
                    version: Some(version.clone()),
                    ..component("library", name.as_ref())
                },
            }
        })
    }
}

/// The image that a service is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// What others can find it by; none for one that is only on the machine where the bill is made, whose paths are
    /// nobody's business.
    pub name: Option<String>,
    /// The digest of its manifest.
    pub digest: Option<Digest>,
}

impl Sbom {
    /// The bill of a set of wheels.
    #[must_use]
    pub fn of_set(subject: &Subject, wheels: &[ListedWheel]) -> Self {
        Self::of(subject, wheels.iter().map(of_wheel).collect())
    }

    /// The bill of the wheels that an index has, as far as they are in these layers; of all without layers.
    #[must_use]
    pub(super) fn of_index(
        index: &WheelIndex,
        layers: Option<&[Digest]>,
        created: Option<String>,
    ) -> Self {
        let is_there = |wheel: &&IndexedWheel| match (layers, &wheel.layer) {
            (Some(layers), Some(layer)) => layers.contains(layer),
            _ => true,
        };
        let listed = index.wheels.iter().filter(is_there).map(|wheel| ListedWheel {
            filename: wheel.filename.clone(),
            sha256: wheel.sha256,
            license: wheel.license.clone(),
            origin: Some(wheel.origin.clone()),
        });
        let subject = Subject { name: "requirements".into(), version: None, created };
        Self::of_set(&subject, &listed.collect::<Vec<_>>())
    }

    /// The bill that this text is, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// The bill of a service: its wheels, the packages of the distribution beneath them, of a kind, and the base
    /// image.
    #[must_use]
    pub fn of_service(
        subject: &Subject,
        wheels: &[ListedWheel],
        earlier: &Earlier,
        (system, packaging, packages): (Option<&System>, Packaging, &[DistributionPackage]),
        base: Option<&BaseImage>,
    ) -> Self {
        let mut components: Vec<Component> = base.map(of_base).into_iter().collect();
        components.extend(system.map(of_system));
        components.extend(wheels.iter().map(of_wheel));
        components.extend(earlier.components());
        components.extend(packages.iter().map(|package| of_package(package, packaging, system)));
        Self::of(subject, components)
    }

    fn of(subject: &Subject, mut components: Vec<Component>) -> Self {
        components.sort_by(|a, b| a.bom_ref.cmp(&b.bom_ref));
        // No two of one name: a reference within the bill has to lead to one thing.
        components.dedup_by(|a, b| a.bom_ref == b.bom_ref);
        let parts = components.iter().filter_map(|component| component.bom_ref.clone()).collect();
        let mut bill = CycloneDx {
            schema: None,
            annotations: None,
            bom_format: "CycloneDX".into(),
            components: Some(components),
            compositions: None,
            declarations: None,
            definitions: None,
            dependencies: Some(vec![Dependency {
                depends_on: Some(parts),
                provides: None,
                ref_: SUBJECT.into(),
            }]),
            external_references: None,
            formulation: None,
            metadata: Some(Metadata {
                timestamp: subject.created.clone(),
                tools: Some(MetadataTools::Variant0(MetadataToolsVariant0 {
                    components: Some(vec![tool()]),
                    services: None,
                })),
                component: Some(Component {
                    bom_ref: Some(SUBJECT.into()),
                    version: subject.version.clone(),
                    ..component("container", &subject.name)
                }),
                ..Metadata::default()
            }),
            properties: None,
            serial_number: None,
            services: None,
            signature: None,
            spec_version: "1.6".into(),
            version: Some(1),
            vulnerabilities: None,
        };
        bill.serial_number = Some(serial_number(&Digest::of(&canonical_json(&bill))));
        Self(bill)
    }

    /// Its text.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = canonical_json(&self.0);
        bytes.push(b'\n');
        bytes
    }
}

/// A UUID of the content (RFC 9562, version 8), so that equal content has an equal one.
fn serial_number(content: &Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&content.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("urn:uuid:{}", parts.join("-"))
}

fn component(kind: &str, name: &str) -> Component {
    ComponentBuilder::default().type_(kind).name(name).build().expect("every required field is set")
}

/// This program.
fn tool() -> Component {
    Component {
        version: Some(env!("CARGO_PKG_VERSION").into()),
        ..component("application", env!("CARGO_PKG_NAME"))
    }
}

fn sha256(digest: &Digest) -> Vec<Hash> {
    vec![Hash { alg: HashAlg::Sha256, content: digest.hex() }]
}

fn property(name: &str, value: impl Into<String>) -> Property {
    Property { name: format!("loci:{name}"), value: Some(value.into()) }
}

fn of_wheel(wheel: &ListedWheel) -> Component {
    let (name, version) = (wheel.filename.name().to_string(), wheel.filename.version().to_string());
    let mut properties = vec![property("file", wheel.filename.as_str())];
    let mut external_references = None;
    match &wheel.origin {
        None => {}
        Some(Origin::Fetched { url }) => {
            external_references = Some(vec![ExternalReference {
                comment: None,
                hashes: None,
                type_: "distribution".into(),
                url: Value::String(url.clone()),
            }]);
        }
        Some(Origin::Built { key }) => properties.push(property("build-key", key.to_string())),
        Some(Origin::Imported { from }) => properties.push(property("imported-from", from)),
    }
    let license = |expression: &String| {
        let expression = expression.clone();
        let item = LicenseChoiceUrlVariant1ItemLicense {
            acknowledgement: None,
            bom_ref: None,
            expression,
        };
        LicenseChoiceUrl::Variant1(vec![item])
    };
    Component {
        bom_ref: Some(wheel.filename.to_string()),
        purl: purl("pypi", None, &name, &version, &[]),
        version: Some(version),
        hashes: Some(sha256(&wheel.sha256)),
        licenses: wheel.license.as_ref().map(license),
        external_references,
        properties: Some(properties),
        ..component("library", &name)
    }
}

/// How the packages of a distribution are called by package URLs: by what installs them, which a distribution
/// shares with those that it is made of.
fn of_package(
    package: &DistributionPackage,
    packaging: Packaging,
    system: Option<&System>,
) -> Component {
    let DistributionPackage { name, version, architecture, .. } = package;
    let id = system.map(|system| system.id.as_str()).filter(|id| !id.is_empty());
    let distro = system.map(|system| match system.version.as_str() {
        // Debian's unstable has none.
        "" => system.id.clone(),
        version => format!("{}-{version}", system.id),
    });
    let mut qualifiers = vec![("arch", architecture.clone())];
    qualifiers.extend(distro.map(|distro| ("distro", distro)));
    let purl = match packaging {
        Packaging::Dpkg => purl("deb", id, name, version, &qualifiers),
        Packaging::Rpm => {
            // An epoch is a part of deb's versions, and beside those of rpm.
            let (epoch, version) = match version.split_once(':') {
                Some((epoch, version)) => (Some(epoch), version),
                None => (None, version.as_str()),
            };
            qualifiers.extend(epoch.map(|epoch| ("epoch", epoch.to_owned())));
            purl("rpm", id, name, version, &qualifiers)
        }
    };
    Component {
        bom_ref: Some(format!("{name}:{architecture}={version}")),
        purl,
        version: Some(version.clone()),
        ..component("library", name)
    }
}

fn of_system(system: &System) -> Component {
    Component {
        bom_ref: Some(format!("os:{}-{}", system.id, system.version)),
        version: Some(system.version.clone()),
        description: Some(system.name.clone()),
        ..component("operating-system", &system.id)
    }
}

fn of_base(base: &BaseImage) -> Component {
    let name = base.name.as_deref().unwrap_or(UNPUBLISHED);
    Component {
        bom_ref: Some(format!("base:{name}")),
        version: base.digest.as_ref().map(ToString::to_string),
        hashes: base.digest.as_ref().map(sha256),
        ..component("container", name)
    }
}

/// A package URL; none for a name that makes none.
fn purl(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    version: &str,
    qualifiers: &[(&'static str, String)],
) -> Option<String> {
    let mut purl = PackageUrl::new(kind.to_owned(), name.to_owned()).ok()?;
    if let Some(namespace) = namespace {
        purl.with_namespace(namespace.to_owned()).ok()?;
    }
    if !version.is_empty() {
        purl.with_version(version.to_owned()).ok()?;
    }
    for (key, value) in qualifiers.iter().filter(|(_, value)| !value.is_empty()) {
        purl.add_qualifier(*key, value.clone()).ok()?;
    }
    Some(purl.to_string())
}

#[cfg(test)]
#[path = "sbom_tests.rs"]
mod tests;
