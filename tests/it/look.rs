//! `loci image ls`: what sets and images are said to be.

use serde_json::{Value, json};

use crate::foreign_image::{
    ARCHITECTURE, ELSEWHERE, ForeignImage, INDEX, Packing, SBOM_TYPE, put_index, tar_of,
};
use crate::harbour::Harbour;
use crate::support::registry::{Manifest, Registry};

pub const SITE: &str = "var/lib/openstack/lib/python3.11/site-packages";

/// The files of a small service, in three layers: a base, an environment, and what is done to both.
pub fn service() -> ForeignImage {
    let base = tar_of([
        ("etc/os-release", &b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n"[..]),
        ("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
        (
            "var/lib/dpkg/status",
            b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n\
              Installed-Size: 12\n\nPackage: python3\nStatus: install ok installed\nVersion: 3.11.2-1\n\
              Architecture: amd64\nInstalled-Size: 100\n",
        ),
        ("var/cache/old", b"old"),
    ]);
    let record = b"six.py,,\nsix-1.16.0.dist-info/METADATA,,\nsix-1.16.0.dist-info/RECORD,,\n";
    let metadata = b"Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n\n";
    let keystone = b"Metadata-Version: 2.1\nName: Keystone\nVersion: 28.0.0\n\n";
    let environment = tar_of([
        (&*format!("{SITE}/six.py"), &b"pass\n"[..]),
        (&format!("{SITE}/six-1.16.0.dist-info/METADATA"), metadata),
        (&format!("{SITE}/six-1.16.0.dist-info/RECORD"), record),
        (&format!("{SITE}/keystone-28.0.0.dist-info/METADATA"), keystone),
    ]);
    let last =
        tar_of([("var/cache/.wh.old", &b""[..]), ("etc/passwd", b"keystone:x:42424:42424\n")]);
    ForeignImage::new()
        .config(json!({
            "User": "42424",
            "Cmd": ["keystone-manage", "--config-file", "/etc/key stone.conf"],
            "Env": ["PATH=/var/lib/openstack/bin:/bin"],
            "WorkingDir": "",
            "Labels": {"org.example.what": "keystone"},
        }))
        .layer(&base, Packing::Gzip)
        .made_by("debootstrap")
        .layer(&environment, Packing::Zstd)
        .made_by("loci install keystone")
        .layer(&last, Packing::Plain)
        .made_by("RUN rm")
}

fn harbour() -> Harbour {
    let harbour = Harbour::empty(Registry::new());
    service().put(&harbour.registry, "loci/keystone", "master");
    harbour
}

/// The digests of a text, which depend on much, are left out of it.
fn without_short(text: &str) -> String {
    let is_short = |word: &str| word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words = text.split(' ').map(|word| match word.rsplit_once("/files/") {
        Some((_, file)) => format!("INDEX/{file}"),
        None if is_short(word) => "SHORT".into(),
        None => word.into(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_service_is_looked_at() {
    let harbour = harbour();
    let ls = |list: &str| {
        harbour.loci(&format!("image ls docker://REGISTRY/loci/keystone:master {list}")).good().out
    };
    let overview = ls("").replace(ARCHITECTURE, "ARCH");
    insta::assert_snapshot!(overview, @r"
    docker://REGISTRY/loci/keystone:master: an image with a root file system
      digest        sha256:DIGEST
      platform      linux/ARCH
      size          7.9 KiB in 3 layers
      user          42424
      command       keystone-manage --config-file '/etc/key stone.conf'
      variable      PATH=/var/lib/openstack/bin:/bin
      label         org.example.what=keystone
      distribution  Debian 12
      packages      2 packages, 112.0 KiB
      python        2 packages, 125 B
      files         7, 456 B
    ");
    insta::assert_snapshot!(ls("--packages"), @r"
    Python: 2
    keystone  28.0.0      -  /var/lib/openstack/lib/python3.11/site-packages/keystone-28.0.0.dist-info
    six       1.16.0  125 B  /var/lib/openstack/lib/python3.11/site-packages/six-1.16.0.dist-info
    Debian 12: 2
    libc6    2.36-9     12.0 KiB  amd64
    python3  3.11.2-1  100.0 KiB  amd64
    ");
    insta::assert_snapshot!(ls("--layers"), @r"
    sha256:DIGEST    425 B  gzip  debootstrap
    sha256:DIGEST  5.0 KiB  zstd  loci install keystone
    sha256:DIGEST  2.5 KiB  tar   RUN rm
    ");
    insta::assert_snapshot!(ls("--files"), @r"
    -rw-r--r--  0/0   50  1970-01-01T00:00:00Z  etc/os-release
    -rw-r--r--  0/0   23  1970-01-01T00:00:00Z  etc/passwd
    -rw-r--r--  0/0  204  1970-01-01T00:00:00Z  var/lib/dpkg/status
    -rw-r--r--  0/0   54  1970-01-01T00:00:00Z  var/lib/openstack/lib/python3.11/site-packages/keystone-28.0.0.dist-info/METADATA
    -rw-r--r--  0/0   49  1970-01-01T00:00:00Z  var/lib/openstack/lib/python3.11/site-packages/six-1.16.0.dist-info/METADATA
    -rw-r--r--  0/0   71  1970-01-01T00:00:00Z  var/lib/openstack/lib/python3.11/site-packages/six-1.16.0.dist-info/RECORD
    -rw-r--r--  0/0    5  1970-01-01T00:00:00Z  var/lib/openstack/lib/python3.11/site-packages/six.py
    ");
}

#[test]
fn json_has_all_that_is_known() {
    let harbour = harbour();
    let ls = |list: &str| {
        harbour
            .loci(&format!("image ls docker://REGISTRY/loci/keystone:master --json {list}"))
            .good()
            .json()
    };
    let view = ls("");
    assert_eq!(view["kind"], "system");
    assert_eq!(view["image"]["config"]["user"], "42424");
    assert_eq!(view["image"]["layers"][1]["created_by"], "loci install keystone");
    assert_eq!(view["python"][0]["name"], "keystone");
    assert_eq!(view["python"][1]["bytes"], 125);
    assert_eq!(view["distribution"][0]["version"], "2.36-9");
    assert_eq!(view["files"]["count"], 7);
    assert!(view.get("entries").is_none());
    let view = ls("--files");
    assert_eq!(view["entries"][0]["path"], "etc/os-release");
    let passwd = &view["entries"][1];
    assert_eq!((&passwd["path"], &passwd["layer"]), (&json!("etc/passwd"), &json!(2)));
    // Only its configuration is asked for.
    harbour.registry.forget_requests();
    assert_eq!(ls("--layers")["kind"], "unread");
    let blobs = harbour.registry.requests().iter().filter(|r| r.path.contains("/blobs/")).count();
    assert_eq!(blobs, 1);
}

#[test]
fn a_set_is_looked_at_wherever_it_is() {
    let harbour = Harbour::loaded(Registry::new());
    for to in ["oci:o:x", "oci-archive:o.tar", "docker-archive:d.tar", "tar:t.tar", "dir:d"] {
        harbour.loci(&format!("copy store: {to}")).good();
    }
    harbour.loci("copy store: oci:single:x --layout single").good();
    let ls = |place: &str| harbour.loci(&format!("image ls {place} --wheels")).good().out;
    let expected = ls("store:");
    let places = [
        "oci:o:x",
        "oci-archive:o.tar",
        "docker-archive:d.tar",
        "tar:t.tar",
        "oci:single:x",
        "docker://REGISTRY/loci/requirements",
    ];
    for place in places {
        assert_eq!(ls(place), expected, "{place}");
    }
    // A directory is read as it is, and says nothing of origins.
    let names = |text: &str| {
        let words =
            |line: &str| line.split_whitespace().take(6).map(str::to_owned).collect::<Vec<_>>();
        text.lines().map(words).collect::<Vec<_>>()
    };
    assert_eq!(names(&ls("dir:d")), names(&expected));
    insta::assert_snapshot!(without_short(&expected), @r"
    certifi      2025.1      878 B  SHORT  certifi-2025.1-py3-none-any.whl     INDEX/certifi-2025.1-py3-none-any.whl
    driver       1.0       2.4 MiB  SHORT  driver-1.0-py3-none-any.whl         INDEX/driver-1.0-py3-none-any.whl
    keystone     1.0      41.3 KiB  SHORT  keystone-1.0-py3-none-any.whl       INDEX/keystone-1.0-py3-none-any.whl
    large        1.0       2.2 MiB  SHORT  large-1.0-py3-none-any.whl          INDEX/large-1.0-py3-none-any.whl
    lonely       1.0     301.1 KiB  SHORT  lonely-1.0-py3-none-any.whl         INDEX/lonely-1.0-py3-none-any.whl
    nova         1.0      51.0 KiB  SHORT  nova-1.0-py3-none-any.whl           INDEX/nova-1.0-py3-none-any.whl
    oslo-config  1.0     101.1 KiB  SHORT  oslo_config-1.0-py3-none-any.whl    INDEX/oslo_config-1.0-py3-none-any.whl
    pip          25.1        824 B  SHORT  pip-25.1-py3-none-any.whl           INDEX/pip-25.1-py3-none-any.whl
    setuptools   80.9.0      908 B  SHORT  setuptools-80.9.0-py3-none-any.whl  INDEX/setuptools-80.9.0-py3-none-any.whl
    uwsgi        2.0.30      857 B  SHORT  uwsgi-2.0.30-py3-none-any.whl       INDEX/uwsgi-2.0.30-py3-none-any.whl
    wheel        0.45.1      859 B  SHORT  wheel-0.45.1-py3-none-any.whl       INDEX/wheel-0.45.1-py3-none-any.whl
    ");
    let overview = harbour.loci("image ls oci:o:x").good().out;
    insta::assert_snapshot!(overview.replace(ARCHITECTURE, "ARCH"), @r"
    oci:o:x: an image of wheels
      digest      sha256:DIGEST
      platform    linux/ARCH
      created     1970-01-01T00:00:00Z
      size        5.1 MiB in 11 layers
      annotation  org.opencontainers.image.base.name=scratch
      annotation  org.opencontainers.image.created=1970-01-01T00:00:00Z
      annotation  org.opencontainers.image.description=Python wheels for OpenStack services, with upper-constraints.txt
      annotation  org.opencontainers.image.title=requirements
      annotation  org.openstack.loci.constraints=sha256:DIGEST
      annotation  org.openstack.loci.wheels=11
      wheels      11, 5.1 MiB
    ");
    insta::assert_snapshot!(harbour.loci("image ls store:").good().out, @r"
    store:latest: a set of wheels
      wheels  11, 5.1 MiB
    ");
    // Of an image of wheels in a registry, only the index is read.
    harbour.registry.forget_requests();
    ls("docker://REGISTRY/loci/requirements");
    let blobs = harbour.registry.requests().iter().filter(|r| r.path.contains("/blobs/")).count();
    assert_eq!(blobs, 2);
}

#[test]
fn wheels_that_other_tools_put_into_an_image_are_listed() {
    let harbour = Harbour::empty(Registry::new());
    let tar = tar_of([("root/packages/six-1-py3-none-any.whl", &b"six"[..]), ("readme", b"")]);
    ForeignImage::new().layer(&tar, Packing::Gzip).put(&harbour.registry, "loci/old", "x");
    let run = harbour.loci("image ls docker://REGISTRY/loci/old:x --wheels").good();
    insta::assert_snapshot!(without_short(&run.out), @"six  1  3 B  SHORT  six-1-py3-none-any.whl");
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let harbour = harbour();
    let (registry, name) = (&harbour.registry, "loci/keystone");
    let other = service().architecture(ELSEWHERE).put(registry, name, "x:1");
    put_index(registry, name, "other", INDEX, &[other, service().put(registry, name, "x:2")]);
    harbour.world.write("readme", "no image");
    harbour.loci("copy docker://REGISTRY/loci/keystone:master oci:damaged").good();
    let blobs = harbour.world.files("damaged/blobs/sha256");
    for (name, bytes) in blobs.iter().filter(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b])) {
        let mut bytes = bytes.clone();
        *bytes.last_mut().unwrap() ^= 1;
        harbour.world.write(&format!("damaged/blobs/sha256/{name}"), bytes);
    }
    let case = |arguments: &str| {
        let said = harbour.loci(&format!("image ls {arguments}")).ends(1).err;
        said.replace(ARCHITECTURE, "ARCH").replace(ELSEWHERE, "OTHER")
    };
    insta::assert_snapshot!(case("docker://REGISTRY/loci/keystone:none"), @"error: there is no image `REGISTRY/loci/keystone:none`; tags there: `master`, `other`");
    insta::assert_snapshot!(case("docker://REGISTRY/loci/keystone:master --wheels"), @"error: `docker://REGISTRY/loci/keystone:master` is an image with a root file system, and no set of wheels");
    insta::assert_snapshot!(case("docker://REGISTRY/loci/keystone:other --platform linux/s390x"), @"error: `REGISTRY/loci/keystone:other` has no image for linux/s390x; it has images for linux/OTHER, linux/ARCH");
    insta::assert_snapshot!(case("tar:readme"), @r"
    error: `readme` is not a whole tar archive
      because: failed to read entire block
    ");
    insta::assert_snapshot!(case("tar:none.tar"), @r"
    error: cannot read `none.tar`
      because: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(case("oci:damaged"), @"error: `oci:damaged`: the layer sha256:DIGEST is damaged: its bytes are sha256:DIGEST");
    insta::assert_snapshot!(case("dir:damaged --files"), @"error: `dir:damaged` is no image");
}

#[test]
fn a_written_set_brings_its_lock_and_its_bill() {
    let harbour = Harbour::loaded(Registry::new());
    let world = &harbour.world;
    harbour.loci("copy store: dir:d").good();
    // The lock names what is there, and leads to it.
    harbour.loci("diff d/.loci/pylock.toml dir:d --exit-code").good();
    let lock = world.read("d/.loci/pylock.toml");
    let path = lock.split("path = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(world.path("d/.loci").join(path).is_file(), "{path}");
    let bill: Value = serde_json::from_str(&world.read("d/.loci/sbom.cdx.json")).unwrap();
    let names = |bill: &Value| -> Vec<String> {
        let components = bill["components"].as_array().unwrap().iter();
        components.map(|component| component["purl"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&bill).len(), 11);
    assert_eq!(bill["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
    // The same in every form that a set is written in.
    for form in ["tar:t.tar", "oci:o", "oci:single --layout single"] {
        harbour.loci(&format!("copy dir:d {form}")).good();
    }
    harbour.loci("copy tar:t.tar dir:again").good();
    assert_eq!(world.read("again/.loci/pylock.toml"), lock);
    // Beside the image of a service stands the bill of its own wheels, and a copy has it too.
    harbour.offer();
    let service = "--services keystone -o docker://REGISTRY/loci/services:x";
    harbour.loci(&format!("build requirements -c c.txt {service}")).good();
    harbour
        .loci("copy docker://REGISTRY/loci/services:x-keystone docker://REGISTRY/loci/copy:x")
        .good();
    let bills = |repository: &str, tag: &str| -> Vec<Vec<u8>> {
        let subject = harbour.registry.tags(repository)[tag].clone();
        let manifests = harbour.registry.manifests(repository);
        let bills = manifests.values().map(Manifest::value).filter(|manifest| {
            manifest["artifactType"] == SBOM_TYPE && manifest["subject"]["digest"] == *subject
        });
        let digests = bills.map(|bill| bill["layers"][0]["digest"].as_str().unwrap().to_owned());
        digests.map(|digest| harbour.registry.blob(repository, &digest).unwrap()).collect()
    };
    let of_service = bills("loci/services", "x-keystone");
    assert_eq!(of_service, bills("loci/copy", "x"));
    let bill: Value = serde_json::from_slice(&of_service[0]).unwrap();
    let listed = names(&bill);
    assert!(listed.contains(&"pkg:pypi/keystone@1.0".to_owned()), "{listed:?}");
    assert!(!listed.contains(&"pkg:pypi/large@1.0".to_owned()), "{listed:?}");
}
