//! Rules as a whole: read, judged and shown.

use proptest::prelude::*;

use super::*;
use crate::vocab::distro::Distro;

fn parse(text: &str) -> Result<BindepFile, InputError> {
    BindepFile::parse(&Document::new("bindep.txt", text))
}

/// The names of what the profiles want on a distribution.
fn wanted(rules: &BindepFile, profiles: &str, distro: &str) -> String {
    let active = Active::new(profiles.split_whitespace(), &Distro::named(distro).unwrap());
    let names: Vec<_> = rules.packages(&active).into_iter().map(|package| package.name).collect();
    names.join(" ")
}

/// Whether a rule with these selectors applies: `+` before profiles with which it does, `-` before
/// those with which it does not.
#[track_caller]
fn case(selectors: &str, profiles: &[&str]) {
    let rules = parse(&format!("foo [{selectors}]\n")).unwrap();
    for given in profiles {
        let (sign, chosen) = given.split_at(1);
        let found = wanted(&rules, chosen, "debian-12");
        assert_eq!(found, if sign == "+" { "foo" } else { "" }, "[{selectors}] with {given}");
    }
}

#[test]
fn selectors_are_judged() {
    case("", &["+", "+a"]);
    case("a", &["+a", "+a b", "-b", "-"]);
    case("a b", &["+a", "+b", "-c"]);
    case("!a", &["-a", "+b", "+"]);
    case("a !b", &["+a", "-a b", "-c"]);
    case("(a b)", &["+a b", "-a", "-b"]);
    case("(a !b)", &["+a", "-a b", "-c"]);
    case("(a b) c", &["+a b", "+c", "-a", "-"]);
    case("(a b) !c", &["+a b", "-a b c", "-"]);
    case("()", &["+", "+a"]);
    case("platform:dpkg", &["+", "+a"]);
    case("platform:rpm", &["-", "-a"]);
    case("platform:dpkg a", &["+a", "-b"]);
    case("platform:rpm a", &["-a", "-"]);
    case("platform:rpm platform:debian", &["+"]);
    case("!platform:dpkg a", &["-a"]);
    case("!platform:rpm a", &["+a", "-b"]);
    case("(platform:rpm a) b", &["-a", "+b"]);
    case("(platform:debian-12 a)", &["+a", "-"]);
    case("platform:debian-bookworm", &["+"]);
    case("default", &["+", "+default", "-a"]);
    case("a!b(c)(d)", &["+a", "+c", "-b", "-a b"]);
}

#[test]
fn rules_are_read_in_order_and_once() {
    let rules = parse(
        "# A comment\n   # another\n\n   \n\
         libfoo1.0+x_y [a] >=1.2,!=1.3 # why\n/usr/bin/foo\nlibfoo1.0+x_y [b] <2#\nbar []\r\nbaz",
    )
    .unwrap();
    let requests = rules.packages(&Active::new(["a", "b"], &Distro::named("debian").unwrap()));
    let shown: Vec<_> = requests
        .iter()
        .map(|PackageRequest { name, conditions, place }| {
            let conditions: Vec<_> = conditions.iter().map(ToString::to_string).collect();
            format!("{}: {name} {}", place.line, conditions.join(","))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    5: libfoo1.0+x_y >=1.2,!=1.3,<2
    6: /usr/bin/foo 
    8: bar 
    9: baz 
    ");
    let mut joined = parse("one\ntwo\n").unwrap();
    joined.join(parse("two\nthree\n").unwrap());
    assert_eq!(wanted(&joined, "", "debian"), "one two three");
}

#[test]
fn profiles_are_told_apart() {
    let profiles = parse("aa [b !a (c platform:rpm)]\nbb [platform:dpkg]\n").unwrap().profiles();
    assert_eq!(profiles.user.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(profiles.platform.iter().collect::<Vec<_>>(), ["platform:dpkg", "platform:rpm"]);
}

#[test]
fn every_fault_is_named() {
    let error = parse(
        " foo\na\n[b]\nfoo [a\nfoo [(a]\nfoo [A]\nfoo [a_b]\nfoo [!(a)]\nfoo [(a (b))]\nfoo [a]b\n\
         foo [a] [b]\nfoo[a]\nfoo >= 1\nfoo >=1, <2\nfoo ~=1\nfoo >=1 [a]\nfoo \nfoo\t[a]\nfoo [a,b]\n\
         foo bar\nfo\u{e9}\nfoo [!]\nfoo [! a]\n",
    )
    .unwrap_err();
    insta::assert_snapshot!(error, @r"
    bindep.txt:1: there is white space before the rule:  foo
    bindep.txt:2: the name `a` has less than two characters: a
    bindep.txt:3: `[` stands where the name of a package is expected: [b]
    bindep.txt:4: there is no `]`: foo [a
    bindep.txt:5: `]` stands where a profile or `)` is expected: foo [(a]
    bindep.txt:6: a profile is in lower case: foo [A]
    bindep.txt:7: a profile has no `_` in it: foo [a_b]
    bindep.txt:8: parentheses cannot be negated: foo [!(a)]
    bindep.txt:9: parentheses cannot stand in parentheses: foo [(a (b))]
    bindep.txt:10: `b` stands where a version, a comment or the end of the line is expected: foo [a]b
    bindep.txt:11: the brackets are a word of their own, and stand once: foo [a] [b]
    bindep.txt:12: the brackets are a word of their own, and stand once: foo[a]
    bindep.txt:13: `>=` is not a relation and a version, such as `>=1:2.4-1`: foo >= 1
    bindep.txt:14: there is no version behind the comma: foo >=1, <2
    bindep.txt:15: `~` stands where a version, a comment or the end of the line is expected: foo ~=1
    bindep.txt:16: the brackets are a word of their own, and stand once: foo >=1 [a]
    bindep.txt:17: there is white space at the end of the line: foo
    bindep.txt:18: there is a tab; only spaces separate: foo\t[a]
    bindep.txt:19: `,` stands where a profile or `]` is expected: foo [a,b]
    bindep.txt:20: `b` stands where a version, a comment or the end of the line is expected: foo bar
    bindep.txt:21: `é` stands where a version, a comment or the end of the line is expected: foé
    bindep.txt:22: there is no profile behind the `!`: foo [!]
    bindep.txt:23: there is no profile behind the `!`: foo [! a]
    ");
}

#[test]
fn a_project_is_installed_by_its_profiles() {
    let distro = Distro::named("ubuntu-22.04").unwrap();
    let active = Active::of_project("keystone", ["ldap", "mod_oauth2"], &distro);
    let profiles: Vec<_> = active.iter().filter(|name| !name.starts_with(PLATFORM)).collect();
    assert_eq!(profiles, ["jammy", "keystone", "ldap", "mod_oauth2", "oauth"]);
}

#[test]
fn names_of_python_packages_are_requirements() {
    let rules = parse("PyMySQL []\npython-ldap [ldap] >=3,!=3.1\nmod_wsgi- [bad]\n").unwrap();
    let distro = Distro::named("debian").unwrap();
    let found = rules.requirements(&Active::new(["ldap"], &distro)).unwrap();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["pymysql", "python-ldap>=3,!=3.1"]);
    let error = rules.requirements(&Active::new(["bad"], &distro)).unwrap_err();
    insta::assert_snapshot!(error, @"bindep.txt:3: the name `mod_wsgi-` does not end in a letter or a digit: mod_wsgi- [bad]");
}

/// LOCI's own lists, where they are at hand.
#[test]
fn the_lists_of_loci_are_read() {
    let Some(bindep) = crate::input::testing::shared_file("loci/bindep.txt") else { return };
    let rules = BindepFile::parse(&bindep).unwrap();
    assert_eq!(rules.rules().count(), 69);
    assert_eq!(
        wanted(&rules, "keystone ldap apache mellon jammy", "ubuntu-22.04"),
        "apache2 libapache2-mod-auth-mellon libapache2-mod-wsgi-py3 libldap-2.5-0 libxml2"
    );
    assert_eq!(
        wanted(&rules, "cinder lvm ceph", "centos-9"),
        "ceph-common libxml2 lvm2 python3-rbd"
    );
    let Some(pydep) = crate::input::testing::shared_file("loci/pydep.txt") else { return };
    let rules = BindepFile::parse(&pydep).unwrap();
    assert_eq!(
        wanted(&rules, "keystone ldap", "debian"),
        "ldappool pymysql python-ldap python-memcached uwsgi"
    );
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_read_is_shown_the_same(
        text in "(aa|b1|[.]|[+]|-|_|/| |#|!|\\[|\\]|[(]|[)]|platform:|>=|<|==|,|1[.]0|~|\n|\t|A|é){0,24}"
    ) {
        if let Ok(rules) = parse(&text) {
            let shown: Vec<_> = rules.rules().map(ToString::to_string).collect();
            let again = parse(&shown.join("\n")).unwrap();
            prop_assert_eq!(rules.rules().collect::<Vec<_>>(), again.rules().collect::<Vec<_>>());
        }
    }

    /// Almost rules, so that more than blank lines come through.
    #[test]
    fn rules_are_shown_as_they_can_be_read(
        text in "ab[a-z0-9.+/_-]{0,3}( +\\[( {0,2}(!?[a-c:.-]{1,3}|[(] ?(!?[a-c]{1,2} ){0,3}[)])){0,4} ?\\])?( (<=|<|!=|==|>=|>)(1:)?[0-9][0-9a-z.+~-]{0,4}[a-z])?( ?#.*)?"
    ) {
        let rules = parse(&text).unwrap();
        prop_assert_eq!(rules.rules().count(), 1);
        let shown = rules.rules().next().unwrap().to_string();
        let again = parse(&shown).unwrap();
        prop_assert_eq!(rules.rules().next(), again.rules().next());
    }
}
