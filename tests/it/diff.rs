//! `loci diff`: what changed between sets, services and locks, in words, as Markdown and as JSON.

use serde_json::json;

use crate::foreign_image::{ForeignImage, Packing, tar_of};
use crate::harbour::Harbour;
use crate::look::{SITE, service};
use crate::support::registry::Registry;
use crate::support::wheel::WheelMaker;
use crate::world::World;

/// Two sets, `oci:a` and `oci:b`: one wheel is new, one is gone, one is of another version, and one is built anew.
fn sets() -> World {
    let world = World::bare();
    let wheel = |name: &str, version: &str, build: &str| {
        let wheel = WheelMaker::new(name, version).file("x.txt", format!("{name}{build}"));
        world.write(&format!("{build}/{}", wheel.filename()), wheel.bytes());
    };
    wheel("kept", "1", "a");
    world.write("b/kept-1-py3-none-any.whl", world.bytes("a/kept-1-py3-none-any.whl"));
    wheel("gone", "1", "a");
    wheel("new", "2.0", "b");
    wheel("six", "1.16.0", "a");
    wheel("six", "1.17.0", "b");
    wheel("same", "3", "a");
    wheel("same", "3", "b");
    for name in ["a", "b"] {
        world.loci(&format!("copy dir:{name} oci:{name}-image")).good();
    }
    world
}

#[test]
fn sets_differ_by_their_wheels() {
    let world = sets();
    let diff = |arguments: &str| world.loci(&format!("diff {arguments}")).good().out;
    insta::assert_snapshot!(diff("oci:a-image oci:b-image"), @r"
    oci:a-image -> oci:b-image
    wheels: 1 added, 1 removed, 1 changed, 1 of other bytes, 1 the same
      -  gone  1                 -943 B
      +  new   2.0               +945 B
      ~  same  3, other bytes       0 B
      ~  six   1.16.0 -> 1.17.0    -1 B
    configuration: 1 change
      ~  annotation org.openstack.loci.constraints  sha256:DIGEST -> sha256:DIGEST
    bytes: 3.7 KiB -> 3.7 KiB, +1 B
    to pull: 15.0 of 17.5 KiB in 3 of 4 layers, for who has the first
    ");
    insta::assert_snapshot!(diff("oci:a-image oci:b-image --markdown"), @r"
    ### `oci:a-image` → `oci:b-image`

    | | before | after | |
    |---|---:|---:|---|
    | wheels | 4 | 4 | 1 added, 1 removed, 1 changed, 1 of other bytes, 1 the same |
    | bytes | 3.7 KiB | 3.7 KiB | +1 B |
    | to pull |  |  | 15.0 of 17.5 KiB in 3 of 4 layers, for who has the first |

    #### wheels

    |  | package | before | after | bytes |
    |---|---|---|---|---|
    | removed | `gone` | `1` |  | -943 B |
    | added | `new` |  | `2.0` | +945 B |
    | other bytes | `same` | `3` | `3` | 0 B |
    | changed | `six` | `1.16.0` | `1.17.0` | -1 B |

    #### configuration

    |  | what | change |
    |---|---|---|
    | changed | `annotation org.openstack.loci.constraints` | `sha256:DIGEST -> sha256:DIGEST` |
    ");
    insta::assert_snapshot!(diff("dir:a dir:b"), @r"
    dir:a -> dir:b
    wheels: 1 added, 1 removed, 1 changed, 1 of other bytes, 1 the same
      -  gone  1                 -943 B
      +  new   2.0               +945 B
      ~  same  3, other bytes       0 B
      ~  six   1.16.0 -> 1.17.0    -1 B
    bytes: 3.7 KiB -> 3.7 KiB, +1 B
    to pull: 2.8 of 3.7 KiB in 3 of 4 wheels, for who has the first
    ");
    let json = world.loci("diff dir:a oci:b-image --json").good().json();
    assert_eq!(
        json["packages"][2],
        json!({
            "name": "same",
            "how": "rebuilt",
            "before": json["packages"][2]["before"],
            "after": json["packages"][2]["after"],
        })
    );
    assert_eq!(json["pull"]["missing"]["count"], 3);
    world.loci("diff dir:a oci:b-image --exit-code").ends(1);
    world.loci("diff dir:a oci:a-image --exit-code").good();
    insta::assert_snapshot!(diff("dir:a oci:a-image"), @r"
    dir:a -> oci:a-image
    wheels: 4 the same
    bytes: 3.7 KiB -> 3.7 KiB, 0 B
    to pull: 0 B of 3.7 KiB in 0 of 4 wheels, for who has the first
    ");
}

#[test]
fn locks_differ_by_their_releases() {
    let world = sets();
    world.write("a.txt", "six===1.16.0\ngone===1\nkept===1.0\nx===1;python_version<'3.9'\nx===2;python_version>='3.9'\n");
    world.write(
        "b.txt",
        "six===1.17.0\nkept===1.0\nx===1;python_version<'3.9'\nx===3;python_version>='3.9'\n",
    );
    let diff = |arguments: &str| world.loci(&format!("diff {arguments}")).good().out;
    insta::assert_snapshot!(diff("a.txt b.txt"), @r"
    a.txt -> b.txt
    releases: 1 removed, 2 changed, 1 the same
      -  gone  1
      ~  six   1.16.0 -> 1.17.0
      ~  x     1 (python_full_version < '3.9'), 2 (python_full_version >= '3.9') -> 1 (python_full_version < '3.9'), 3 (python_full_version >= '3.9')
    ");
    // With what is there, by versions.
    insta::assert_snapshot!(diff("b.txt dir:b"), @r"
    b.txt -> dir:b
    releases: 2 added, 1 removed, 2 the same
      +  new   2.0   +945 B
      +  same  3     +942 B
      -  x     1, 3
    ");
    world.write("c.txt", "six==\n");
    insta::assert_snapshot!(world.loci("diff a.txt c.txt").ends(2).err, @"error: c.txt:1: unexpected end of version specifier, expected version: six==");
    world.write("pylock.toml", "lock-version = \"2.0\"\n");
    insta::assert_snapshot!(world.loci("diff a.txt pylock.toml").ends(2).err, @"error: pylock.toml:1: the lock-version is `2.0`, and only 1.0 is supported");
}

/// The service, and a later one on the same base.
fn services() -> Harbour {
    let harbour = Harbour::empty(Registry::new());
    service().put(&harbour.registry, "loci/keystone", "a");
    let later = tar_of([
        (&*format!("{SITE}/six.py"), &b"pass # other\n"[..]),
        (&format!("{SITE}/.wh.keystone-28.0.0.dist-info"), b""),
        (
            &format!("{SITE}/keystone-28.1.0.dist-info/METADATA"),
            b"Metadata-Version: 2.1\nName: Keystone\nVersion: 28.1.0\n\n",
        ),
        (
            "var/lib/dpkg/status",
            b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-10\nArchitecture: amd64\n\
              Installed-Size: 13\n\nPackage: apache2\nStatus: install ok installed\nVersion: 2.4\n\
              Architecture: amd64\nInstalled-Size: 100\n",
        ),
    ]);
    service()
        .layer(&later, Packing::Gzip)
        .config(json!({
            "User": "keystone",
            "Cmd": ["keystone-manage"],
            "Env": ["PATH=/var/lib/openstack/bin:/bin", "A=|"],
        }))
        .put(&harbour.registry, "loci/keystone", "b");
    harbour
}

#[test]
fn services_differ_in_all_that_they_have() {
    let harbour = services();
    let places = "docker://REGISTRY/loci/keystone:a docker://REGISTRY/loci/keystone:b";
    let diff = |flags: &str| harbour.loci(&format!("diff {places} {flags}")).good();
    harbour.registry.forget_requests();
    insta::assert_snapshot!(diff("").out, @r#"
    docker://REGISTRY/loci/keystone:a -> docker://REGISTRY/loci/keystone:b
    python packages: 1 changed, 1 of other bytes
      ~  keystone  28.0.0 -> 28.1.0
      ~  six       1.16.0, other bytes  +8 B
    distribution packages: 1 added, 1 removed, 1 changed
      +  apache2  2.4                +100.0 KiB
      ~  libc6    2.36-9 -> 2.36-10    +1.0 KiB
      -  python3  3.11.2-1           -100.0 KiB
    files: 1 added (54 B), 1 removed (54 B), 2 changed (213 B)
    configuration: 4 changes
      ~  user                    42424 -> keystone
      ~  command                 ["keystone-manage","--config-file","/etc/key stone.conf"] -> ["keystone-manage"]
      +  variable A              |
      -  label org.example.what  keystone
    bytes: 456 B -> 460 B, +4 B
    to pull: 429 B of 8.3 KiB in 1 of 4 layers, for who has the first
    "#);
    // What both have comes once.
    let requests = harbour.registry.requests();
    let blobs = requests.iter().filter(|request| request.path.contains("/blobs/")).count();
    assert_eq!(blobs, 2 + 4);
    insta::assert_snapshot!(diff("--files").out, @r#"
    docker://REGISTRY/loci/keystone:a -> docker://REGISTRY/loci/keystone:b
    python packages: 1 changed, 1 of other bytes
      ~  keystone  28.0.0 -> 28.1.0
      ~  six       1.16.0, other bytes  +8 B
    distribution packages: 1 added, 1 removed, 1 changed
      +  apache2  2.4                +100.0 KiB
      ~  libc6    2.36-9 -> 2.36-10    +1.0 KiB
      -  python3  3.11.2-1           -100.0 KiB
    files: 1 added (54 B), 1 removed (54 B), 2 changed (213 B)
      ~  var/lib/dpkg/status                                                                -4 B
      -  var/lib/openstack/lib/python3.11/site-packages/keystone-28.0.0.dist-info/METADATA  54 B
      +  var/lib/openstack/lib/python3.11/site-packages/keystone-28.1.0.dist-info/METADATA  54 B
      ~  var/lib/openstack/lib/python3.11/site-packages/six.py                              +8 B
    configuration: 4 changes
      ~  user                    42424 -> keystone
      ~  command                 ["keystone-manage","--config-file","/etc/key stone.conf"] -> ["keystone-manage"]
      +  variable A              |
      -  label org.example.what  keystone
    bytes: 456 B -> 460 B, +4 B
    to pull: 429 B of 8.3 KiB in 1 of 4 layers, for who has the first
    "#);
    insta::assert_snapshot!(diff("--files --markdown").out, @r#"
    ### `docker://REGISTRY/loci/keystone:a` → `docker://REGISTRY/loci/keystone:b`

    | | before | after | |
    |---|---:|---:|---|
    | python packages | 2 | 2 | 1 changed, 1 of other bytes |
    | distribution packages | 2 | 2 | 1 added, 1 removed, 1 changed |
    | files |  |  | 1 added (54 B), 1 removed (54 B), 2 changed (213 B) |
    | bytes | 456 B | 460 B | +4 B |
    | to pull |  |  | 429 B of 8.3 KiB in 1 of 4 layers, for who has the first |

    #### python packages

    |  | package | before | after | bytes |
    |---|---|---|---|---|
    | changed | `keystone` | `28.0.0` | `28.1.0` |  |
    | other bytes | `six` | `1.16.0` | `1.16.0` | +8 B |

    #### distribution packages

    |  | package | before | after | bytes |
    |---|---|---|---|---|
    | added | `apache2` |  | `2.4` | +100.0 KiB |
    | changed | `libc6` | `2.36-9` | `2.36-10` | +1.0 KiB |
    | removed | `python3` | `3.11.2-1` |  | -100.0 KiB |

    #### configuration

    |  | what | change |
    |---|---|---|
    | changed | `user` | `42424 -> keystone` |
    | changed | `command` | `["keystone-manage","--config-file","/etc/key stone.conf"] -> ["keystone-manage"]` |
    | added | `variable A` | `\|` |
    | removed | `label org.example.what` | `keystone` |

    #### files

    |  | path | change |
    |---|---|---|
    | changed | `var/lib/dpkg/status` | `-4 B` |
    | removed | `var/lib/openstack/lib/python3.11/site-packages/keystone-28.0.0.dist-info/METADATA` | `54 B` |
    | added | `var/lib/openstack/lib/python3.11/site-packages/keystone-28.1.0.dist-info/METADATA` | `54 B` |
    | changed | `var/lib/openstack/lib/python3.11/site-packages/six.py` | `+8 B` |
    "#);
    let json = diff("--json --files").json();
    assert_eq!(json["files"]["added"], json!({"count": 1, "bytes": 54}));
    assert_eq!(json["entries"].as_array().unwrap().len(), 4);
    assert!(diff("--json").json().get("entries").is_none());
    harbour.loci(&format!("diff {places} --exit-code")).ends(1);
}

#[test]
fn packages_that_cannot_be_read_are_said_to_be_there() {
    let harbour = Harbour::empty(Registry::new());
    for (tag, text) in [("a", "one"), ("b", "another")] {
        let tar = tar_of([
            ("etc/os-release", &b"ID=centos\nPRETTY_NAME=\"CentOS Stream 9\"\n"[..]),
            ("var/lib/rpm/rpmdb.sqlite", text.as_bytes()),
        ]);
        ForeignImage::new().layer(&tar, Packing::Gzip).put(&harbour.registry, "loci/base", tag);
    }
    let [a, b] = ["docker://REGISTRY/loci/base:a", "docker://REGISTRY/loci/base:b"];
    let said = |arguments: String| harbour.loci(&arguments).good().out;
    insta::assert_snapshot!(said(format!("image ls {a} --packages")), @r"
    Python: 0
    CentOS Stream 9: listed in `/var/lib/rpm/rpmdb.sqlite`, which cannot be read here
    ");
    insta::assert_snapshot!(said(format!("diff {a} {b}")), @r"
    docker://REGISTRY/loci/base:a -> docker://REGISTRY/loci/base:b
    python packages: none
    distribution packages: those of `docker://REGISTRY/loci/base:a` are listed in `/var/lib/rpm/rpmdb.sqlite`, which cannot be read here
    distribution packages: those of `docker://REGISTRY/loci/base:b` are listed in `/var/lib/rpm/rpmdb.sqlite`, which cannot be read here
    files: 1 changed (7 B)
    bytes: 43 B -> 47 B, +4 B
    to pull: 206 of 206 B in 1 of 1 layer, for who has the first
    ");
    insta::assert_snapshot!(said(format!("diff {a} {b} --markdown")), @r"
    ### `docker://REGISTRY/loci/base:a` → `docker://REGISTRY/loci/base:b`

    | | before | after | |
    |---|---:|---:|---|
    | python packages | 0 | 0 | none |
    | files |  |  | 1 changed (7 B) |
    | bytes | 43 B | 47 B | +4 B |
    | to pull |  |  | 206 of 206 B in 1 of 1 layer, for who has the first |

    Distribution packages: those of `docker://REGISTRY/loci/base:a` are listed in `/var/lib/rpm/rpmdb.sqlite`, which cannot be read here.

    Distribution packages: those of `docker://REGISTRY/loci/base:b` are listed in `/var/lib/rpm/rpmdb.sqlite`, which cannot be read here.
    ");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let harbour = services();
    let world = &harbour.world;
    let wheel = WheelMaker::new("six", "1");
    world.write(&format!("set/{}", wheel.filename()), wheel.bytes());
    world.write("c.txt", "six===1\n");
    let tar = tar_of([("file", &b""[..])]);
    ForeignImage::new().layer(&tar, Packing::Plain).put(&harbour.registry, "loci/empty", "x");
    let keystone = "docker://REGISTRY/loci/keystone:a";
    let case = |pair: &str| harbour.loci(&format!("diff {pair}"));
    insta::assert_snapshot!(case(&format!("dir:set {keystone}")).ends(2).err, @"error: `dir:set` is a set of wheels and cannot be compared with `docker://REGISTRY/loci/keystone:a`, which is an image with a root file system");
    insta::assert_snapshot!(case(&format!("{keystone} c.txt")).ends(2).err, @"error: `docker://REGISTRY/loci/keystone:a` is an image with a root file system and cannot be compared with `c.txt`, which is a list of pins");
    insta::assert_snapshot!(case(&format!("{keystone} docker://REGISTRY/loci/empty:y")).ends(1).err, @"error: there is no image `REGISTRY/loci/empty:y`; tags there: `x`");
    insta::assert_snapshot!(case(&format!("{keystone} wheels")).ends(2).err, @"error: `wheels` does not say what it is: write `dir:wheels` for a directory of wheels or `oci:wheels` for an image layout");
    insta::assert_snapshot!(case("c.txt none.txt").ends(2).err, @r"
    error: cannot read `none.txt`
      because: No such file or directory (os error 2)
    ");
}
