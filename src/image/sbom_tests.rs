//! Tests of bills of materials.

use super::*;

fn wheel(filename: &str, license: Option<&str>, origin: Option<Origin>) -> ListedWheel {
    ListedWheel {
        filename: filename.parse().unwrap(),
        sha256: Digest::of(filename.as_bytes()),
        license: license.map(str::to_owned),
        origin,
    }
}

fn subject() -> Subject {
    Subject {
        name: "requirements".into(),
        version: None,
        created: Some("1970-01-01T00:00:00Z".into()),
    }
}

/// People's form of it, without what depends on all of it.
fn text(sbom: &Sbom) -> String {
    let bytes = sbom.to_bytes();
    let mut value: Value = serde_json::from_slice(&bytes).unwrap();
    value["serialNumber"] = "SERIAL".into();
    value["metadata"]["tools"]["components"][0]["version"] = "VERSION".into();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn a_set_is_listed() {
    let url = "https://host.invalid/six.whl".into();
    let wheels = [
        wheel("six-1.16.0-py3-none-any.whl", Some("MIT"), Some(Origin::Fetched { url })),
        wheel(
            "Foo_Bar-1.0+local-cp311-cp311-linux_x86_64.whl",
            None,
            Some(Origin::Built { key: Digest::of(b"key") }),
        ),
    ];
    let sbom = Sbom::of_set(&subject(), &wheels);
    insta::assert_snapshot!(text(&sbom), @r#"
    {
      "bomFormat": "CycloneDX",
      "components": [
        {
          "bom-ref": "Foo_Bar-1.0+local-cp311-cp311-linux_x86_64.whl",
          "hashes": [
            {
              "alg": "SHA-256",
              "content": "a1597664af921fd800eb0ebc9c4f93aa6d70d60f2444fd17fffefc0ea4a3c39f"
            }
          ],
          "name": "foo-bar",
          "properties": [
            {
              "name": "loci:file",
              "value": "Foo_Bar-1.0+local-cp311-cp311-linux_x86_64.whl"
            },
            {
              "name": "loci:build-key",
              "value": "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
            }
          ],
          "purl": "pkg:pypi/foo-bar@1.0%2Blocal",
          "type": "library",
          "version": "1.0+local"
        },
        {
          "bom-ref": "six-1.16.0-py3-none-any.whl",
          "externalReferences": [
            {
              "type": "distribution",
              "url": "https://host.invalid/six.whl"
            }
          ],
          "hashes": [
            {
              "alg": "SHA-256",
              "content": "c181e133354ccceac7bf7db61f61d879348dbed744b2f612e519a842cbc05d1f"
            }
          ],
          "licenses": [
            {
              "expression": "MIT"
            }
          ],
          "name": "six",
          "properties": [
            {
              "name": "loci:file",
              "value": "six-1.16.0-py3-none-any.whl"
            }
          ],
          "purl": "pkg:pypi/six@1.16.0",
          "type": "library",
          "version": "1.16.0"
        }
      ],
      "dependencies": [
        {
          "dependsOn": [
            "Foo_Bar-1.0+local-cp311-cp311-linux_x86_64.whl",
            "six-1.16.0-py3-none-any.whl"
          ],
          "ref": "image"
        }
      ],
      "metadata": {
        "component": {
          "bom-ref": "image",
          "name": "requirements",
          "type": "container"
        },
        "timestamp": "1970-01-01T00:00:00Z",
        "tools": {
          "components": [
            {
              "name": "loci",
              "type": "application",
              "version": "VERSION"
            }
          ]
        }
      },
      "serialNumber": "SERIAL",
      "specVersion": "1.6",
      "version": 1
    }
    "#);
    let reversed: Vec<_> = wheels.iter().rev().cloned().collect();
    assert_eq!(Sbom::of_set(&subject(), &reversed).to_bytes(), sbom.to_bytes());
    assert_ne!(Sbom::of_set(&subject(), &wheels[..1]).0.serial_number, sbom.0.serial_number);
}

#[test]
fn a_service_has_more_beneath_it() {
    let system = System { id: "debian".into(), version: "12".into(), name: "Debian 12".into() };
    let package = |name: &str, version: &str| DistributionPackage {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        bytes: 0,
    };
    let packages = [package("libc6", "2.36-9+deb12u1"), package("libapache2", "1:2.4")];
    let base = BaseImage { name: Some("debian:12".into()), digest: Some(Digest::of(b"base")) };
    let subject =
        Subject { name: "keystone".into(), version: Some("28.0.0".into()), created: None };
    let earlier = Earlier::default();
    let sbom = Sbom::of_service(
        &subject,
        &[],
        &earlier,
        (Some(&system), Packaging::Dpkg, &packages),
        Some(&base),
    );
    insta::assert_snapshot!(text(&sbom), @r#"
    {
      "bomFormat": "CycloneDX",
      "components": [
        {
          "bom-ref": "base:debian:12",
          "hashes": [
            {
              "alg": "SHA-256",
              "content": "cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2"
            }
          ],
          "name": "debian:12",
          "type": "container",
          "version": "sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2"
        },
        {
          "bom-ref": "libapache2:amd64=1:2.4",
          "name": "libapache2",
          "purl": "pkg:deb/debian/libapache2@1:2.4?arch=amd64&distro=debian-12",
          "type": "library",
          "version": "1:2.4"
        },
        {
          "bom-ref": "libc6:amd64=2.36-9+deb12u1",
          "name": "libc6",
          "purl": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12",
          "type": "library",
          "version": "2.36-9+deb12u1"
        },
        {
          "bom-ref": "os:debian-12",
          "description": "Debian 12",
          "name": "debian",
          "type": "operating-system",
          "version": "12"
        }
      ],
      "dependencies": [
        {
          "dependsOn": [
            "base:debian:12",
            "libapache2:amd64=1:2.4",
            "libc6:amd64=2.36-9+deb12u1",
            "os:debian-12"
          ],
          "ref": "image"
        }
      ],
      "metadata": {
        "component": {
          "bom-ref": "image",
          "name": "keystone",
          "type": "container",
          "version": "28.0.0"
        },
        "tools": {
          "components": [
            {
              "name": "loci",
              "type": "application",
              "version": "VERSION"
            }
          ]
        }
      },
      "serialNumber": "SERIAL",
      "specVersion": "1.6",
      "version": 1
    }
    "#);
}

#[test]
fn packages_have_urls() {
    let of = |id: &str, version: &str| {
        let (id, release) = id.split_once(' ').unwrap_or((id, "9"));
        let packaging = match id {
            "centos" | "opensuse-leap" => Packaging::Rpm,
            _ => Packaging::Dpkg,
        };
        let system = System { id: id.into(), version: release.into(), name: String::new() };
        let package = DistributionPackage {
            name: "httpd".into(),
            version: version.into(),
            architecture: "x86_64".into(),
            bytes: 0,
        };
        of_package(&package, packaging, Some(&system)).purl.unwrap()
    };
    assert_eq!(of("centos", "2.4-1"), "pkg:rpm/centos/httpd@2.4-1?arch=x86_64&distro=centos-9");
    assert_eq!(
        of("centos", "1:2.4-1"),
        "pkg:rpm/centos/httpd@2.4-1?arch=x86_64&distro=centos-9&epoch=1"
    );
    assert_eq!(
        of("opensuse-leap 15.6", "2.4-1"),
        "pkg:rpm/opensuse-leap/httpd@2.4-1?arch=x86_64&distro=opensuse-leap-15.6"
    );
    // Whoever is like Debian packs as Debian does.
    assert_eq!(of("raspbian", "2.4"), "pkg:deb/raspbian/httpd@2.4?arch=x86_64&distro=raspbian-9");
    assert_eq!(of("debian ", "2.4"), "pkg:deb/debian/httpd@2.4?arch=x86_64&distro=debian");
    assert_eq!(of("ubuntu", "1:2.4"), "pkg:deb/ubuntu/httpd@1:2.4?arch=x86_64&distro=ubuntu-9");
}

#[test]
fn serial_numbers_are_uuids_of_the_content() {
    assert_eq!(
        serial_number(&Digest::from_bytes([0xff; 32])),
        "urn:uuid:ffffffff-ffff-8fff-bfff-ffffffffffff"
    );
}

#[test]
fn what_was_there_before_is_told_as_it_was() {
    let before = Sbom::of_set(&subject(), &[wheel("six-1.17.0-py2.py3-none-any.whl", None, None)]);
    let text = String::from_utf8(before.to_bytes()).unwrap();
    let packages = ["six 1.17.0", "pbr 7.0"].map(|text| {
        let (name, version) = text.split_once(' ').unwrap();
        (name.parse().unwrap(), version.to_owned())
    });
    let earlier = Earlier { packages: packages.to_vec(), bill: Sbom::parse(&text) };
    let bill = Sbom::of_service(&subject(), &[], &earlier, (None, Packaging::Dpkg, &[]), None);
    let components = bill.0.components.unwrap();
    let told: Vec<_> = components
        .iter()
        .map(|component| (component.bom_ref.as_deref(), component.hashes.is_some()))
        .collect();
    assert_eq!(told, [(Some("pbr==7.0"), false), (Some("six-1.17.0-py2.py3-none-any.whl"), true)]);
    assert_eq!(Sbom::parse("{}"), None);
}
