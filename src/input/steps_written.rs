//! A file of steps as it is written, and what is meant by it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::vocab::account::{AccountName, AccountPath, AccountWordError};
use crate::vocab::requirement::Requirement;

use super::document::{Document, Fault};
use super::entry::Entry;
use super::error::InputError;
use super::rules::place;
use super::steps::{Action, Condition, Destination, Owner, Profile, ProjectSteps, Step, WORDS};
use super::template::Template;

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    project: Option<Text>,
    #[serde(default)]
    extends: bool,
    shell: Option<Text>,
    #[serde(default)]
    variables: BTreeMap<Text, String>,
    #[serde(default)]
    step: Vec<WrittenStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenStep {
    name: Text,
    profiles: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    needs: Vec<Text>,
    write: Option<WrittenWrite>,
    directory: Option<WrittenDirectory>,
    symlink: Option<WrittenSymlink>,
    copy: Option<WrittenCopy>,
    git: Option<WrittenGit>,
    download: Option<WrittenDownload>,
    run: Option<WrittenRun>,
    user: Option<WrittenUser>,
    group: Option<WrittenGroup>,
    packages: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenWrite {
    path: Text,
    text: Text,
    mode: Option<Text>,
    #[serde(default)]
    owner: Owner,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenDirectory {
    path: Text,
    mode: Option<Text>,
    #[serde(default)]
    owner: Owner,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenSymlink {
    path: Text,
    target: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenCopy {
    from: Vec<Text>,
    #[serde(default)]
    except: Vec<Text>,
    to: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenGit {
    url: Text,
    #[serde(rename = "ref")]
    reference: Text,
    to: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenDownload {
    url: Text,
    sha256: Text,
    #[serde(default)]
    install: bool,
    to: Option<Text>,
    mode: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenRun {
    command: Spanned<Vec<Text>>,
    #[serde(default)]
    env: BTreeMap<String, Text>,
    directory: Option<Text>,
    #[serde(default)]
    user: Owner,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenUser {
    name: Text,
    uid: Text,
    group: Text,
    home: Text,
    shell: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenGroup {
    name: Text,
    gid: Text,
    #[serde(default)]
    members: Vec<Text>,
}

/// Reads the steps of `document`.
pub(super) fn read(document: &Document) -> Result<ProjectSteps, InputError> {
    let written: Written = toml::from_str(document.text()).map_err(|error| {
        let fault = Fault {
            place: place(document, error.span().unwrap_or(0..0)),
            reason: error.message().lines().collect::<Vec<_>>().join(", "),
        };
        InputError::Faults { faults: vec![fault] }
    })?;
    let mut reader = Reader { document, variables: BTreeMap::new(), faults: Vec::new() };
    reader.variables(written.variables);
    let project = reader.project(written.project.as_ref());
    let shell = written.shell.as_ref().and_then(|shell| reader.word::<AccountPath>(shell));
    let steps: Vec<Step> = written.step.into_iter().filter_map(|step| reader.step(step)).collect();
    let Reader { variables, mut faults, .. } = reader;
    match project {
        Some(project) if faults.is_empty() => {
            Ok(ProjectSteps { project, extends: written.extends, shell, variables, steps })
        }
        _ => {
            faults.sort_by(|a, b| a.place.cmp(&b.place));
            Err(InputError::Faults { faults })
        }
    }
}

/// Turns what is written into what is meant, and collects what cannot be.
struct Reader<'a> {
    document: &'a Document,
    variables: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn variables(&mut self, written: BTreeMap<Text, String>) {
        for (name, value) in written {
            let is_right = name.get_ref().starts_with(|c: char| c.is_ascii_uppercase())
                && name
                    .get_ref()
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if !is_right {
                let reason = "a variable is named in capital letters, digits and `_`";
                self.fault(name.span(), reason);
            }
            // One that is named wrongly is known all the same: one fault for it is enough.
            self.variables.insert(name.into_inner(), value);
        }
    }

    fn project(&mut self, written: Option<&Text>) -> Option<AccountName> {
        if let Some(name) = written {
            return self.word(name);
        }
        let stem = Path::new(self.document.origin()).file_stem().and_then(|stem| stem.to_str());
        let name = stem.and_then(|stem| stem.parse().ok());
        if name.is_none() {
            self.fault(0..0, "the file is not named as a project, and `project` is missing");
        }
        name
    }

    fn step(&mut self, written: WrittenStep) -> Option<Step> {
        let WrittenStep { name, profiles, .. } = &written;
        let place = place(self.document, name.span());
        let when = profiles.as_ref().map(|profiles| self.condition(profiles)).unwrap_or_default();
        let mut needs = Vec::new();
        for variable in &written.needs {
            if !self.variables.contains_key(variable.get_ref()) {
                self.fault(variable.span(), "this is not one of `[variables]`");
            }
            needs.push(variable.get_ref().clone());
        }
        let (name, span) = (name.get_ref().clone(), name.span());
        let mut actions = self.actions(written);
        match (actions.pop(), actions.is_empty()) {
            (Some(action), true) => return Some(Step { name, place, when, needs, action }),
            (None, _) => self.fault(span, "the step does nothing"),
            (Some(_), false) => self.fault(span, "the step does more than one thing"),
        }
        None
    }

    fn condition(&mut self, written: &Spanned<Vec<String>>) -> Condition {
        let mut lists = Vec::new();
        for list in written.get_ref() {
            let words = list.split_whitespace().map(|word| match word.strip_prefix('!') {
                Some(name) => Profile { name: name.to_owned(), is_active: false },
                None => Profile { name: word.to_owned(), is_active: true },
            });
            let words: Vec<_> = words.collect();
            if words.is_empty() || words.iter().any(|word| word.name.is_empty()) {
                self.fault(written.span(), "a profile has no name");
            }
            lists.push(words);
        }
        if lists.is_empty() {
            self.fault(written.span(), "no profile is listed, so that the step would never apply");
        }
        Condition(lists)
    }

    fn actions(&mut self, written: WrittenStep) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(WrittenWrite { path, text, mode, owner }) = written.write {
            let (path, text) = (self.path(&path), self.template(&text));
            let mode = self.mode(mode.as_ref(), 0o644);
            actions.push(Action::Write { path, text, mode, owner });
        }
        if let Some(WrittenDirectory { path, mode, owner }) = written.directory {
            let path = self.path(&path);
            let mode = self.mode(mode.as_ref(), 0o755);
            actions.push(Action::Directory { path, mode, owner });
        }
        if let Some(WrittenSymlink { path, target }) = written.symlink {
            let (path, target) = (self.path(&path), self.template(&target));
            actions.push(Action::Symlink { path, target });
        }
        if let Some(WrittenCopy { from, except, to }) = written.copy {
            let from = from.iter().map(|text| self.pattern(text)).collect();
            let except = except.iter().map(|text| self.pattern(text)).collect();
            actions.push(Action::Copy { from, except, to: self.path(&to) });
        }
        if let Some(WrittenGit { url, reference, to }) = written.git {
            let (url, reference) = (self.template(&url), self.template(&reference));
            actions.push(Action::Git { url, reference, to: self.path(&to) });
        }
        actions.extend(written.download.map(|download| self.download(&download)));
        if let Some(WrittenRun { command, env, directory, user }) = written.run {
            if command.get_ref().is_empty() {
                self.fault(command.span(), "the command is empty");
            }
            let command = command.get_ref().iter().map(|text| self.template(text)).collect();
            let env = env.iter().map(|(name, text)| (name.clone(), self.template(text))).collect();
            let directory = directory.map(|path| self.path(&path));
            actions.push(Action::Run { command, env, directory, user });
        }
        if let Some(WrittenUser { name, uid, group, home, shell }) = written.user {
            let [name, uid, group, home, shell] =
                [name, uid, group, home, shell].map(|text| self.template(&text));
            actions.push(Action::User { name, uid, group, home, shell });
        }
        if let Some(WrittenGroup { name, gid, members }) = written.group {
            let (name, gid) = (self.template(&name), self.template(&gid));
            let members = members.iter().map(|text| self.template(text)).collect();
            actions.push(Action::Group { name, gid, members });
        }
        if let Some(packages) = written.packages {
            let packages = packages.iter().filter_map(|text| self.requirement(text)).collect();
            actions.push(Action::Packages(packages));
        }
        actions
    }

    fn download(&mut self, written: &WrittenDownload) -> Action {
        let WrittenDownload { url, sha256, install, to, mode } = written;
        let into = match to {
            Some(to) if !install => {
                Destination::File { path: self.path(to), mode: self.mode(mode.as_ref(), 0o644) }
            }
            None if *install && mode.is_none() => Destination::Installed,
            _ => {
                let reason = "a download has either `install = true`, or `to` and `mode`";
                self.fault(url.span(), reason);
                Destination::Installed
            }
        };
        Action::Download { url: self.template(url), sha256: self.template(sha256), into }
    }

    fn template(&mut self, written: &Text) -> Template {
        let variables = &self.variables;
        let is_known = |word: &str| WORDS.contains(&word) || variables.contains_key(word);
        Template::parse(written.get_ref(), &is_known).unwrap_or_else(|reason| {
            self.fault(written.span(), &reason);
            Template::plain("")
        })
    }

    /// A path in the image. One that begins with a word is looked at when the word is known.
    fn path(&mut self, written: &Text) -> Template {
        if !written.get_ref().starts_with(['/', '{']) {
            self.fault(written.span(), "a path in the image is absolute");
        }
        self.template(written)
    }

    fn pattern(&mut self, written: &Text) -> Template {
        if let Err(error) = glob::Pattern::new(written.get_ref()) {
            self.fault(written.span(), &format!("this is not a pattern of paths: {}", error.msg));
        }
        if written.get_ref().contains("**") {
            self.fault(written.span(), "a pattern has one directory for each part: no `**`");
        }
        self.path(written)
    }

    fn mode(&mut self, written: Option<&Text>, usual: u32) -> u32 {
        let Some(written) = written else { return usual };
        let text = written.get_ref();
        let is_right =
            matches!(text.len(), 3 | 4) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if is_right => mode,
            _ => {
                self.fault(written.span(), "a mode is three or four digits from 0 to 7");
                usual
            }
        }
    }

    fn requirement(&mut self, written: &Text) -> Option<Requirement> {
        let line = place(self.document, written.span()).line;
        match Entry::parse(self.document.place(line, written.get_ref())) {
            Ok(entry) => Some(entry.requirement),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn word<T: std::str::FromStr<Err = AccountWordError>>(&mut self, written: &Text) -> Option<T> {
        written
            .get_ref()
            .parse()
            .map_err(|error: AccountWordError| {
                self.fault(written.span(), &error.to_string());
            })
            .ok()
    }

    fn fault(&mut self, span: Range<usize>, reason: &str) {
        let place = place(self.document, span);
        self.faults.push(Fault { place, reason: reason.to_owned() });
    }
}
