//! Tests of the text form of locks: the specification's own example, what is refused, round trips.

use proptest::prelude::*;

use super::*;

/// The example of PEP 751, by way of the tests of `packaging`, with one wheel fewer.
const EXAMPLE: &str = r#"
lock-version = '1.0'
environments = ['sys_platform == "win32"', 'sys_platform == "linux"']
requires-python = '==3.12.*'
created-by = 'mousebender'

[[packages]]
name = 'attrs'
version = '25.1.0'
requires-python = '>=3.8'

    [[packages.wheels]]
    name = 'attrs-25.1.0-py3-none-any.whl'
    upload-time = 2025-01-25T11:30:10.164985+00:00
    url = 'https://example.org/packages/fc/30/attrs-25.1.0-py3-none-any.whl'
    size = 63152
    hashes = {sha256 = 'c75a69e28a550a7e93789579c22aa26b0f5b83b75dc4e08fe092980051e1090a'}

    [[packages.attestation-identities]]
    environment = 'release-pypi'
    kind = 'GitHub'
    repository = 'python-attrs/attrs'
    workflow = 'pypi-package.yml'

[[packages]]
name = 'cattrs'
version = '24.1.2'
requires-python = '>=3.8'
dependencies = [
    {name = 'attrs'},
]
index = 'https://user:secret@example.org/simple'

    [[packages.wheels]]
    name = 'cattrs-24.1.2-py3-none-any.whl'
    upload-time = 2024-09-22T14:58:34.812643+00:00
    url = 'https://example.org/packages/c8/d5/cattrs-24.1.2-py3-none-any.whl'
    size = 66446
    hashes = {sha256 = '67c7495b760168d931a10233f979b28dc04daf853b30752246f4f8471c6d68d0'}

[tool.mousebender]
command = ['.', 'lock', 'cattrs']
run-on = 2025-03-06T12:28:57.760769
"#;

#[test]
fn the_example_of_the_specification_is_read_and_written() {
    let lock = Lock::from_pylock("pylock.toml", EXAMPLE).unwrap();
    insta::assert_snapshot!(lock.to_pylock(), @r#"
    lock-version = "1.0"
    created-by = "loci"
    requires-python = "==3.12.*"
    environments = [
        "sys_platform == 'win32'",
        "sys_platform == 'linux'",
    ]

    [[packages]]
    name = "attrs"
    version = "25.1.0"
    requires-python = ">=3.8"
    wheels = [
        { name = "attrs-25.1.0-py3-none-any.whl", url = "https://example.org/packages/fc/30/attrs-25.1.0-py3-none-any.whl", size = 63152, hashes = { sha256 = "c75a69e28a550a7e93789579c22aa26b0f5b83b75dc4e08fe092980051e1090a" } },
    ]

    [[packages]]
    name = "cattrs"
    version = "24.1.2"
    requires-python = ">=3.8"
    dependencies = [
        { name = "attrs" },
    ]
    index = "https://example.org/simple"
    wheels = [
        { name = "cattrs-24.1.2-py3-none-any.whl", url = "https://example.org/packages/c8/d5/cattrs-24.1.2-py3-none-any.whl", size = 66446, hashes = { sha256 = "67c7495b760168d931a10233f979b28dc04daf853b30752246f4f8471c6d68d0" } },
    ]
    "#);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    #[track_caller]
    fn case(text: &str, message: &str) {
        let error = Lock::from_pylock("pylock.toml", text).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let head = "lock-version = '1.0'\ncreated-by = 'pip'\n";
    let sha256 = "0".repeat(64);
    let package =
        |rest: &str| format!("{head}[[packages]]\nname = 'example'\nversion = '1.0'\n{rest}\n");
    let wheel = |name: &str| {
        package(&format!(
            "wheels = [{{name = '{name}', path = 'x', hashes = {{sha256 = '{sha256}'}}}}]"
        ))
    };

    case("created-by = 'pip'\npackages = []", "pylock.toml:1: missing field `lock-version`");
    case(
        "lock-version = 1.0",
        "pylock.toml:1: invalid type: floating point `1.0`, expected a string",
    );
    for version in ["0.9", "2.0", "2", "1.x", ""] {
        case(
            &format!("\nlock-version = '{version}'\n"),
            &format!("pylock.toml:2: the lock-version is `{version}`, and only 1.0 is supported"),
        );
    }
    case("lock-version = '1.0'\npackages = []", "pylock.toml:1: missing field `created-by`");
    case(head, "pylock.toml:1: missing field `packages`");
    case("lock-version = '1.0\n", "pylock.toml:1: invalid literal string, expected `'`");
    case("<!DOCTYPE html>", "pylock.toml:1: key with no value, expected `=`");
    case(
        &package("flavour = 'x'"),
        "pylock.toml:6: unknown field `flavour`, expected one of `name`, `version`, `marker`, `requires-python`, `dependencies`, `index`, `wheels`, `sdist`, `vcs`, `directory`, `archive`, `attestation-identities`, `tool`",
    );
    case(&package(""), "pylock.toml:4: `example` has neither wheels nor an sdist");
    case(
        &package("directory = {path = '.'}"),
        "pylock.toml:4: `example` is locked as a directory, and only wheels and source distributions are supported",
    );
    case(
        &package(
            "marker = 'os == 1'\nsdist = {path = 'example-1.0.tar.gz', hashes = {sha256 = '00'}}",
        ),
        "pylock.toml:7: a file of `example` has no usable hash: `00` is not a sha256 digest",
    );
    case(
        &package("sdist = {path = 'example-1.0.tar.gz', hashes = {md5 = '00'}}"),
        "pylock.toml:6: a file of `example` has no `sha256` hash",
    );
    case(
        &package("wheels = [{name = 'example-1.0-py3-none-any.whl', hashes = {}}]"),
        "pylock.toml:6: a file of `example` has neither `url` nor `path`",
    );
    case(
        &package("wheels = [{path = 'x', size = true, hashes = {}}]"),
        "pylock.toml:6: invalid type: boolean `true`, expected u64",
    );
    case(
        &wheel("example-1.0.whl"),
        "pylock.toml:6: a file of `example` has no usable name: the wheel name `example-1.0.whl` does not have five or six parts between hyphens",
    );
    case(
        &wheel("example-2.0-py3-none-any.whl"),
        "pylock.toml:4: the file `example-2.0-py3-none-any.whl` is not one of `example` 1.0",
    );
    case(
        &wheel("other-1.0-py3-none-any.whl"),
        "pylock.toml:4: the file `other-1.0-py3-none-any.whl` is not one of `example` 1.0",
    );
    case(
        &format!("{head}[[packages]]\nname = '-'"),
        "pylock.toml:4: `name` cannot be read: it is not a valid project name: -",
    );
    case(
        &format!("{head}environments = ['soon']\npackages = []"),
        "pylock.toml:3: `environments` cannot be read: Expected a quoted string or a valid marker name, found `soon`: soon",
    );
    case(
        &format!("{head}requires-python = 'soon'\npackages = []"),
        "pylock.toml:3: `requires-python` cannot be read: Failed to parse version: Unexpected end of version specifier, expected operator: soon",
    );
}

#[test]
fn names_and_versions_may_be_told_by_the_file() {
    let text = format!(
        "lock-version = '1.1'\ncreated-by = 'pip'\n[[packages]]\nname = 'Ex.Ample'\n\
         wheels = [{{url = 'https://example.org/ex_ample-1.0%2Blocal-py3-none-any.whl', hashes = {{sha256 = '{}'}}}}]\n",
        "0".repeat(64)
    );
    let lock = Lock::from_pylock("pylock.toml", &text).unwrap();
    assert_eq!(lock.to_constraints_text(), "ex-ample===1.0+local\n");
}

fn lock() -> impl Strategy<Value = Lock> {
    let marker = prop_oneof![
        Just(MarkerTree::TRUE),
        Just("python_full_version >= '3.11' and sys_platform == \"linux\"".parse().unwrap()),
        Just("platform_machine == 'it\\'s'".parse().unwrap_or(MarkerTree::TRUE)),
    ];
    let place = prop_oneof![
        "[ -~é\n]{1,20}".prop_map(FilePlace::Path),
        "[a-z]{1,9}".prop_map(|path| {
            FilePlace::Url(format!("https://example.org/{path}?a='b'&c=\"d\"").parse().unwrap())
        }),
    ];
    let python = prop_oneof![Just(None), Just(Some(">=3.9, !=3.10.1".parse().unwrap()))];
    let package = ("[a-c]{1,3}", 0_u8..20, marker, place, python, any::<[u8; 3]>()).prop_map(
        |(name, version, marker, place, requires_python, bits)| {
            let text = format!("{version}.0");
            let wheel = |tag: &str, size| LockedFile {
                filename: format!("{name}-{text}-{tag}-none-any.whl").parse().unwrap(),
                place: place.clone(),
                size,
                sha256: Digest::of(&bits),
            };
            let name = PackageName::new(name.clone()).unwrap();
            LockedPackage {
                version: text.parse().unwrap(),
                marker,
                requires_python,
                dependencies: (0..bits[0] % 3)
                    .map(|i| PackageName::new(format!("d{i}")).unwrap())
                    .collect(),
                index: (bits[1] & 1 == 0).then(|| "https://example.org/simple/".parse().unwrap()),
                wheels: vec![wheel("cp311", Some(u64::from(bits[2]))), wheel("py3", None)],
                sdist: (bits[1] & 2 == 0).then(|| LockedFile {
                    filename: SdistFilename::parse(&format!("{name}-{text}.tar.gz"), &name)
                        .unwrap(),
                    place,
                    size: None,
                    sha256: Digest::of(&bits),
                }),
                name,
            }
        },
    );
    proptest::collection::btree_map((0_u8..9, 0_u8..9), package, 0..5).prop_map(|packages| {
        let mut packages: Vec<_> = packages.into_values().collect();
        packages.sort_by_key(|p: &LockedPackage| {
            (p.name.clone(), p.version.clone(), written(&p.marker))
        });
        packages.dedup_by_key(|p| (p.name.clone(), p.version.clone()));
        Lock {
            packages,
            requires_python: Some(">=3.11".parse().unwrap()),
            environments: vec!["sys_platform == 'linux'".parse().unwrap()],
            requirements: vec![
                "a>=1".parse().unwrap(),
                "b[c] ; os_name == 'posix'".parse().unwrap(),
            ],
        }
    })
}

proptest! {
    #[test]
    fn locks_survive_the_way_to_text_and_back(lock in lock()) {
        let text = lock.to_pylock();
        let read = Lock::from_pylock("pylock.toml", &text);
        prop_assert_eq!(read.as_ref().map(Lock::to_pylock), Ok(text.clone()));
        prop_assert_eq!(read, Ok(lock), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}", at in 0..EXAMPLE.len(), cut in 0..40_usize) {
        let _ = Lock::from_pylock("pylock.toml", &text);
        let end = (at + cut).min(EXAMPLE.len());
        let _ = Lock::from_pylock("pylock.toml", &format!("{}{text}{}", &EXAMPLE[..at], &EXAMPLE[end..]));
    }

    #[test]
    fn no_value_makes_the_reader_panic(text in "\\PC{0,20}|[a-z ><=~!.0-9'\"é();-]{0,30}") {
        for (key, value) in [
            ("requires-python", quoted(&text)),
            ("environments", format!("[{}]", quoted(&text))),
            ("tool.loci.requirements", format!("[{}]", quoted(&text))),
            ("packages", format!("[{{ name = {}, wheels = [] }}]", quoted(&text))),
            ("packages", format!("[{{ name = 'a', sdist = {{ url = {0}, path = {0}, hashes = {{}} }} }}]", quoted(&text))),
        ] {
            let packages = if key == "packages" { "" } else { "packages = []\n" };
            let lock = format!("lock-version = '1.0'\ncreated-by = 'x'\n{packages}{key} = {value}\n");
            if let Err(error) = Lock::from_pylock("pylock.toml", &lock) {
                let _ = error.to_string();
            }
        }
    }
}
