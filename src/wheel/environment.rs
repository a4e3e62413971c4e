//! [`Environment`]: the files that make a directory a Python environment (PEP 405).
//!
//! What CPython's `venv` makes, without pip: `pyvenv.cfg`, links to the interpreter and the
//! activation scripts. The interpreter is not looked at.

use std::io;
use std::path::{Path, PathBuf};

use pep440_rs::Version;

use super::tree::{Content, Sink, TreeEntry};
use crate::vocab::safe_path::SafePath;

/// A Python environment to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Where it will stand; absolute.
    pub prefix: PathBuf,
    /// The interpreter it is for: absolute, and not that of another environment.
    pub python: PathBuf,
    /// The interpreter's version.
    pub version: Version,
    /// Whether the interpreter's own packages are seen too.
    pub system_site_packages: bool,
}

/// Something that makes a directory an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEntry {
    /// Where, relative to the prefix.
    pub path: SafePath,
    /// Permission bits.
    pub mode: u32,
    /// What: no archive has any of it.
    pub content: OwnContent,
}

/// The content of an [`OwnEntry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnContent {
    /// A file of these bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this target.
    Symlink(String),
}

impl Environment {
    /// The entries, sorted by path. Paths that are not UTF-8 are written as well as they can be.
    #[must_use]
    pub fn entries(&self) -> Vec<OwnEntry> {
        let prefix = self.prefix.to_string_lossy();
        let python = self.python.to_string_lossy();
        let release = self.version.release();
        let minor = release.get(1).copied().unwrap_or_default();
        let text =
            |path: &str, text: String| entry(path, 0o644, OwnContent::Bytes(text.into_bytes()));
        let link =
            |path: &str, target: &str| entry(path, 0o777, OwnContent::Symlink(target.into()));
        vec![
            text("bin/activate", fill(ACTIVATE, &quote(&prefix), &self.prompt())),
            text("bin/activate.csh", fill(ACTIVATE_CSH, &quote_csh(&prefix), &self.prompt())),
            text("bin/activate.fish", fill(ACTIVATE_FISH, &quote_fish(&prefix), &self.prompt())),
            link("bin/python", &python),
            link("bin/python3", "python"),
            link(&format!("bin/python3.{minor}"), "python"),
            link("lib64", "lib"),
            text("pyvenv.cfg", self.configuration()),
        ]
    }

    /// Gives every entry to `sink`.
    ///
    /// # Errors
    /// What the sink fails with.
    pub fn emit(&self, sink: &mut dyn Sink) -> io::Result<()> {
        for OwnEntry { path, mode, content } in self.entries() {
            let (content, bytes) = match content {
                OwnContent::Bytes(bytes) => (Content::Bytes(bytes.clone()), bytes),
                OwnContent::Symlink(target) => (Content::Symlink(target), Vec::new()),
            };
            sink.entry(&TreeEntry { path, mode, content }, &bytes)?;
        }
        Ok(())
    }

    fn configuration(&self) -> String {
        let home = self.python.parent().unwrap_or(Path::new("/"));
        format!(
            "home = {}\ninclude-system-site-packages = {}\nversion = {}\nexecutable = {}\n",
            home.display(),
            self.system_site_packages,
            self.version,
            self.python.display(),
        )
    }

    /// The word before the shell's prompt: the prefix's last component, of harmless characters only.
    fn prompt(&self) -> String {
        let name = self.prefix.file_name().unwrap_or_default().to_string_lossy();
        let plain: String =
            name.chars().filter(|c| c.is_alphanumeric() || "._-+".contains(*c)).collect();
        format!("({plain}) ")
    }
}

fn entry(path: &str, mode: u32, content: OwnContent) -> OwnEntry {
    let path: SafePath = path.parse().expect("these paths are fixed words and a number");
    OwnEntry { path, mode, content }
}

fn fill(template: &str, prefix: &str, prompt: &str) -> String {
    template.replace("@PROMPT@", prompt).replace("@PREFIX@", prefix)
}

/// For POSIX shells: nothing is special in single quotes but their end.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// For csh, which expands `!` and stops at a line's end even in single quotes.
fn quote_csh(text: &str) -> String {
    quote(text).replace('!', "\\!").replace('\n', "\\\n")
}

/// For fish, where a backslash escapes in single quotes.
fn quote_fish(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

const ACTIVATE: &str = r#"# Read this file into a POSIX shell: `. bin/activate`. It adds `deactivate`.

deactivate () {
    if [ -n "${_OLD_VIRTUAL_PATH:-}" ]; then
        PATH="$_OLD_VIRTUAL_PATH"
        export PATH
        unset _OLD_VIRTUAL_PATH
    fi
    if [ -n "${_OLD_VIRTUAL_PYTHONHOME:-}" ]; then
        PYTHONHOME="$_OLD_VIRTUAL_PYTHONHOME"
        export PYTHONHOME
        unset _OLD_VIRTUAL_PYTHONHOME
    fi
    if [ -n "${_OLD_VIRTUAL_PS1+set}" ]; then
        PS1="$_OLD_VIRTUAL_PS1"
        unset _OLD_VIRTUAL_PS1
    fi
    unset VIRTUAL_ENV VIRTUAL_ENV_PROMPT
    hash -r 2> /dev/null || true
    if [ "${1:-}" != nondestructive ]; then
        unset -f deactivate
    fi
}

deactivate nondestructive

VIRTUAL_ENV=@PREFIX@
export VIRTUAL_ENV
_OLD_VIRTUAL_PATH="$PATH"
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
if [ -n "${PYTHONHOME:-}" ]; then
    _OLD_VIRTUAL_PYTHONHOME="$PYTHONHOME"
    unset PYTHONHOME
fi
if [ -z "${VIRTUAL_ENV_DISABLE_PROMPT:-}" ]; then
    VIRTUAL_ENV_PROMPT='@PROMPT@'
    export VIRTUAL_ENV_PROMPT
    _OLD_VIRTUAL_PS1="${PS1:-}"
    PS1="$VIRTUAL_ENV_PROMPT${PS1:-}"
    export PS1
fi
hash -r 2> /dev/null || true
"#;

const ACTIVATE_CSH: &str = r#"# Read this file into csh: `source bin/activate.csh`. It adds `deactivate`.

alias deactivate 'test $?_OLD_VIRTUAL_PATH != 0 && setenv PATH "$_OLD_VIRTUAL_PATH" && unset _OLD_VIRTUAL_PATH; rehash; test $?_OLD_VIRTUAL_PROMPT != 0 && set prompt="$_OLD_VIRTUAL_PROMPT" && unset _OLD_VIRTUAL_PROMPT; unsetenv VIRTUAL_ENV; unsetenv VIRTUAL_ENV_PROMPT; test "\!:*" != "nondestructive" && unalias deactivate'
deactivate nondestructive

setenv VIRTUAL_ENV @PREFIX@
set _OLD_VIRTUAL_PATH="$PATH"
setenv PATH "$VIRTUAL_ENV/bin:$PATH"
if (! $?VIRTUAL_ENV_DISABLE_PROMPT) then
    setenv VIRTUAL_ENV_PROMPT '@PROMPT@'
    if ($?prompt) then
        set _OLD_VIRTUAL_PROMPT="$prompt"
        set prompt = "$VIRTUAL_ENV_PROMPT$prompt"
    endif
endif
rehash
"#;

const ACTIVATE_FISH: &str = r#"# Read this file into fish: `source bin/activate.fish`. It adds `deactivate`.

function deactivate -d 'Leave the Python environment'
    if test -n "$_OLD_VIRTUAL_PATH"
        set -gx PATH $_OLD_VIRTUAL_PATH
        set -e _OLD_VIRTUAL_PATH
    end
    if test -n "$_OLD_VIRTUAL_PYTHONHOME"
        set -gx PYTHONHOME $_OLD_VIRTUAL_PYTHONHOME
        set -e _OLD_VIRTUAL_PYTHONHOME
    end
    if functions -q _old_fish_prompt
        functions -e fish_prompt
        functions -c _old_fish_prompt fish_prompt
        functions -e _old_fish_prompt
    end
    set -e VIRTUAL_ENV
    set -e VIRTUAL_ENV_PROMPT
    if test "$argv[1]" != nondestructive
        functions -e deactivate
    end
end

deactivate nondestructive

set -gx VIRTUAL_ENV @PREFIX@
set -gx _OLD_VIRTUAL_PATH $PATH
set -gx PATH "$VIRTUAL_ENV/bin" $PATH
if set -q PYTHONHOME
    set -gx _OLD_VIRTUAL_PYTHONHOME $PYTHONHOME
    set -e PYTHONHOME
end
if test -z "$VIRTUAL_ENV_DISABLE_PROMPT"
    set -gx VIRTUAL_ENV_PROMPT '@PROMPT@'
    functions -c fish_prompt _old_fish_prompt
    function fish_prompt
        set -l last $status
        printf '%s' "$VIRTUAL_ENV_PROMPT"
        # The prompt before ours shows the last status: give it back.
        echo "exit $last" | source
        _old_fish_prompt
    end
end
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wheel::fixture::Kept;

    fn made(prefix: &str, system_site_packages: bool) -> Kept {
        let environment = Environment {
            prefix: prefix.into(),
            python: "/usr/bin/python3.12".into(),
            version: "3.12.3".parse().unwrap(),
            system_site_packages,
        };
        let mut kept = Kept::default();
        environment.emit(&mut kept).unwrap();
        kept
    }

    #[test]
    fn has_what_python_looks_for() {
        let kept = made("/var/lib/openstack", true);
        insta::assert_snapshot!(kept.text("pyvenv.cfg"), @r"
        home = /usr/bin
        include-system-site-packages = true
        version = 3.12.3
        executable = /usr/bin/python3.12
        ");
        for (link, target) in [
            ("bin/python", "/usr/bin/python3.12"),
            ("bin/python3", "python"),
            ("bin/python3.12", "python"),
            ("lib64", "lib"),
        ] {
            assert_eq!((kept.0[link].0, kept.text(link)), (0o777, target.into()));
        }
    }

    #[test]
    fn activation_quotes_what_shells_would_read() {
        let kept = made("/it's $HOME!/(x) y", false);
        let line = |file: &str, word: &str| {
            let text = kept.text(file);
            text.lines().find(|line| line.starts_with(word)).unwrap().to_owned()
        };
        insta::assert_snapshot!(line("bin/activate", "VIRTUAL_ENV="), @r#"VIRTUAL_ENV='/it'\''s $HOME!/(x) y'"#);
        insta::assert_snapshot!(line("bin/activate.csh", "setenv VIRTUAL_ENV "), @r#"setenv VIRTUAL_ENV '/it'\''s $HOME\!/(x) y'"#);
        insta::assert_snapshot!(line("bin/activate.fish", "set -gx VIRTUAL_ENV "), @r#"set -gx VIRTUAL_ENV '/it\'s $HOME!/(x) y'"#);
        assert!(kept.text("bin/activate").contains("'(xy) '"));
        assert!(!kept.text("bin/activate").contains('@'));
    }

    #[test]
    fn a_shell_activates_and_deactivates() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("activate");
        fs_err::write(&script, made("/it's $HOME", false).text("bin/activate")).unwrap();
        let output = std::process::Command::new("/bin/sh")
            .args(["-euc", "PATH=/bin; PS1='$ '; . \"$0\"; echo \"$VIRTUAL_ENV|$PATH|$PS1\"; deactivate; echo \"${VIRTUAL_ENV:-none}|$PATH|$PS1\""])
            .arg(&script)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            text,
            "/it's $HOME|/it's $HOME/bin:/bin|(itsHOME) $ \nnone|/bin|$ \n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
