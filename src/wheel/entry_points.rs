//! [`EntryPoints`]: the commands a wheel asks for in `entry_points.txt` (the entry points specification).
//!
//! Only `console_scripts` and `gui_scripts` are read: other groups are looked up at run time.

use std::collections::BTreeMap;

use super::error::Fault;

/// An object in a module: `module:attribute.attribute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectReference {
    /// The dotted module.
    pub module: String,
    /// The dotted attribute in it.
    pub attribute: String,
}

/// The commands to make, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EntryPoints(BTreeMap<String, ObjectReference>);

impl EntryPoints {
    /// Reads `entry_points.txt` as `importlib.metadata` does: comments start a line, everything is
    /// trimmed, the last of two equal names wins.
    ///
    /// # Errors
    /// When a command's name is no file name or its value names no object of a module.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let text = String::from_utf8_lossy(bytes);
        let mut group = "";
        let mut groups: BTreeMap<&str, BTreeMap<String, ObjectReference>> = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                group = name.trim();
                continue;
            }
            if !matches!(group, "console_scripts" | "gui_scripts") {
                continue;
            }
            let refuse = |reason| Fault::EntryPoint { entry: line.into(), reason };
            let (name, value) = line.split_once('=').ok_or_else(|| refuse("it has no `=`"))?;
            let name = name.trim();
            if !is_command(name) {
                return Err(refuse("its name is not a command's"));
            }
            groups.entry(group).or_default().insert(name.into(), reference(value).map_err(refuse)?);
        }
        // pip writes the gui scripts last, over a console script of the same name.
        Ok(Self(groups.into_values().flatten().collect()))
    }

    /// The commands for Python 3.`minor`, by name.
    ///
    /// The wheels of pip and of old setuptools were built by one Python and name it (`pip3.8`,
    /// `easy_install-3.8`): as with pip, the names of this Python replace those.
    #[must_use]
    pub(super) fn commands(&self, minor: u8) -> BTreeMap<String, ObjectReference> {
        let mut commands = self.0.clone();
        if let Some(pip) = self.0.get("pip") {
            commands.retain(|name, _| !is_versioned(name, "pip", 1));
            commands.insert("pip3".into(), pip.clone());
            commands.insert(format!("pip3.{minor}"), pip.clone());
        }
        if let Some(easy_install) = self.0.get("easy_install") {
            commands.retain(|name, _| !is_versioned(name, "easy_install-", 2));
            commands.insert(format!("easy_install-3.{minor}"), easy_install.clone());
        }
        commands
    }

    /// Whether a file of `.data/scripts` is what setuptools once wrote for one of these commands.
    #[must_use]
    pub(super) fn replaces(&self, script: &str) -> bool {
        let lower = script.to_ascii_lowercase();
        let name = [".exe", "-script.py", ".pya"]
            .iter()
            .find(|end| lower.ends_with(*end))
            .map_or(script, |end| &script[..script.len() - end.len()]);
        self.0.contains_key(name)
    }
}

/// A command is a file name of one component that needs no quoting anywhere.
fn is_command(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'))
}

/// Whether `name` is `stem` and a dotted number of at least `least` parts.
fn is_versioned(name: &str, stem: &str, least: usize) -> bool {
    name.strip_prefix(stem).is_some_and(|version| {
        let parts: Vec<&str> = version.split('.').collect();
        (least..=2).contains(&parts.len())
            && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn reference(value: &str) -> Result<ObjectReference, &'static str> {
    // Extras in brackets are deprecated and mean nothing to an installer.
    let value = value.split_once('[').map_or(value, |(object, _)| object).trim();
    let (module, attribute) =
        value.split_once(':').ok_or("it names a module and no object in it")?;
    let (module, attribute) = (module.trim(), attribute.trim());
    let dotted = |text: &str| {
        text.split('.').all(|part| {
            part.chars().next().is_some_and(|c| !c.is_numeric())
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    if !dotted(module) || !dotted(attribute) {
        return Err("its value is not `module:object`");
    }
    Ok(ObjectReference { module: module.into(), attribute: attribute.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str, minor: u8) -> Vec<String> {
        EntryPoints::parse(text.as_bytes()).unwrap().commands(minor).into_keys().collect()
    }

    #[test]
    fn reads_both_groups_and_no_other() {
        let text = "# c\n[console_scripts]\nkeystone-manage = keystone.cmd.manage:main\n a=b.c:d.e [x]\n\
                    \n[oslo.config.opts]\nkeystone = nothing at all\n[gui_scripts]\na = g:h\n";
        let points = EntryPoints::parse(text.as_bytes()).unwrap().commands(11);
        assert_eq!(
            points["keystone-manage"],
            ObjectReference { module: "keystone.cmd.manage".into(), attribute: "main".into() }
        );
        assert_eq!(points["a"].module, "g");
        assert_eq!(points.len(), 2);
    }

    #[test]
    fn names_of_another_python_give_way() {
        let pip = "[console_scripts]\npip=p:m\npip3=p:m\npip3.8=p:m\npipx=p:m\n";
        assert_eq!(names(pip, 11), ["pip", "pip3", "pip3.11", "pipx"]);
        let setuptools = "[console_scripts]\neasy_install = s:m\neasy_install-3.6 = s:m\n";
        assert_eq!(names(setuptools, 12), ["easy_install", "easy_install-3.12"]);
    }

    #[test]
    fn knows_the_scripts_setuptools_wrote_for_commands() {
        let points = EntryPoints::parse(b"[console_scripts]\nfoo = a:b\n").unwrap();
        for name in ["foo", "foo.exe", "foo-script.py", "foo.pya"] {
            assert!(points.replaces(name), "{name}");
        }
        assert!(!points.replaces("foo.py"));
    }

    #[test]
    fn refuses_what_cannot_be_a_command() {
        let error = |line: &str| {
            EntryPoints::parse(format!("[console_scripts]\n{line}\n").as_bytes())
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(error("../x = a:b"), @"the entry point `../x = a:b` cannot become a script: its name is not a command's");
        insta::assert_snapshot!(error("x = a"), @"the entry point `x = a` cannot become a script: it names a module and no object in it");
        insta::assert_snapshot!(error("x = a:b()"), @"the entry point `x = a:b()` cannot become a script: its value is not `module:object`");
        insta::assert_snapshot!(error("x"), @"the entry point `x` cannot become a script: it has no `=`");
        for line in [". = a:b", "a b = a:b", "x = a:b; import os", "x = 1:b", "x = a::b"] {
            error(line);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\[console_scripts\\]\n)?[a-c=:\\[\\]#. \n]{0,40}") {
            if let Ok(points) = EntryPoints::parse(text.as_bytes()) {
                for name in points.commands(11).keys() {
                    prop_assert!(!name.contains('/'));
                }
            }
        }
    }
}
