//! [`Rule`]: one line: a package, the profiles that want it, and the versions that will do.
//!
//! ```text
//! name [profile !profile platform:dpkg (all of these !not-this)] >=1.2,!=1.3  # comment
//! ```

use std::fmt;

use super::PLATFORM;
use super::active::Active;
use super::condition::Condition;

/// One line. Displays as it can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    name: String,
    selectors: Vec<Selector>,
    conditions: Vec<Condition>,
}

/// One part of what stands in the brackets of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A profile by itself.
    One(Profile),
    /// Profiles in parentheses, all of which must hold.
    All(Vec<Profile>),
}

/// A profile that must be active, or must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    is_wanted: bool,
    name: String,
}

impl Profile {
    /// Its name, `platform:` included.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn holds(&self, active: &Active) -> bool {
        active.contains(&self.name) == self.is_wanted
    }
}

impl Rule {
    /// Reads a line without its end; none when it is blank or only a comment.
    pub(super) fn read(line: &str) -> Result<Option<Self>, String> {
        let mut reader = Reader { rest: line };
        reader.spaces();
        if reader.is_at_end() {
            return Ok(None);
        }
        if reader.rest.len() < line.len() {
            return Err("there is white space before the rule".into());
        }
        let name = reader.name()?;
        let selectors =
            if reader.take_after_spaces("[") { reader.selectors()? } else { Vec::new() };
        let conditions = reader.conditions()?;
        let is_padded = reader.rest.starts_with(' ');
        reader.spaces();
        match reader.rest.chars().next() {
            None if is_padded => Err("there is white space at the end of the line".into()),
            None | Some('#') => Ok(Some(Self { name, selectors, conditions })),
            Some('[') => Err("the brackets are a word of their own, and stand once".into()),
            Some('<' | '>' | '=' | '!') => {
                Err("the versions are one word, and stand behind the brackets".into())
            }
            Some(c) => Err(unexpected(c, "a version, a comment or the end of the line")),
        }
    }

    /// The package.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its version must satisfy.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Every profile that it names.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.selectors.iter().flat_map(|selector| match selector {
            Selector::One(profile) => std::slice::from_ref(profile),
            Selector::All(profiles) => profiles,
        })
    }

    /// Whether the active profiles want the package: neither what it says of platforms nor what it
    /// says of other profiles may be against it. What is in parentheses counts as the latter, even
    /// where it is of platforms.
    #[must_use]
    pub fn applies(&self, active: &Active) -> bool {
        let is_of_platform = |selector: &&Selector| match selector {
            Selector::One(profile) => profile.name.starts_with(PLATFORM),
            Selector::All(_) => false,
        };
        let (platform, user): (Vec<_>, Vec<_>) = self.selectors.iter().partition(is_of_platform);
        admits(&platform, active) && admits(&user, active)
    }
}

/// Whether one kind of selectors lets the rule apply: nothing that is not wanted is active, and one of
/// those that are wanted is, if there are any.
fn admits(selectors: &[&Selector], active: &Active) -> bool {
    let mut asks = false;
    let mut found = false;
    for selector in selectors {
        match selector {
            Selector::One(profile) if !profile.is_wanted => {
                if !profile.holds(active) {
                    return false;
                }
            }
            Selector::One(profile) => {
                asks = true;
                found |= profile.holds(active);
            }
            Selector::All(profiles) => {
                asks = true;
                found |= profiles.iter().all(|profile| profile.holds(active));
            }
        }
    }
    found || !asks
}

/// What is left of a line.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Whether only a comment is left.
    fn is_at_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Takes the characters at the front that are of a kind.
    fn run(&mut self, is_of_it: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_of_it(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes spaces, of which there must be some, and the token; or nothing at all.
    fn take_after_spaces(&mut self, token: &str) -> bool {
        let before = self.rest;
        self.spaces();
        let taken = self.rest.len() < before.len() && self.take(token);
        if !taken {
            self.rest = before;
        }
        taken
    }

    fn name(&mut self) -> Result<String, String> {
        let first = self.rest.chars().next();
        if let Some(c) = first.filter(|c| !c.is_ascii_alphanumeric() && *c != '/') {
            return Err(unexpected(c, "the name of a package"));
        }
        let name =
            self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_' | '/'));
        match name.len() {
            0 | 1 => Err(format!("the name `{name}` has less than two characters")),
            _ => Ok(name.to_owned()),
        }
    }

    /// What stands in brackets, the first of which was taken.
    fn selectors(&mut self) -> Result<Vec<Selector>, String> {
        let mut selectors = Vec::new();
        loop {
            self.spaces();
            if self.take("]") {
                return Ok(selectors);
            }
            if !self.take("(") {
                selectors.push(Selector::One(self.profile(']')?));
                continue;
            }
            let mut all = Vec::new();
            loop {
                self.spaces();
                if self.take(")") {
                    break;
                }
                all.push(self.profile(')')?);
            }
            selectors.push(Selector::All(all));
        }
    }

    fn profile(&mut self, end: char) -> Result<Profile, String> {
        let is_wanted = !self.take("!");
        let name = self
            .run(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '-' | '.'));
        if !name.is_empty() {
            return Ok(Profile { is_wanted, name: name.to_owned() });
        }
        match self.rest.chars().next() {
            None => Err(format!("there is no `{end}`")),
            Some('(') if !is_wanted => Err("parentheses cannot be negated".into()),
            Some(_) if !is_wanted => Err("there is no profile behind the `!`".into()),
            Some('(') => Err("parentheses cannot stand in parentheses".into()),
            Some('_') => Err("a profile has no `_` in it".into()),
            Some(c) if c.is_ascii_uppercase() => Err("a profile is in lower case".into()),
            Some(c) => Err(unexpected(c, &format!("a profile or `{end}`"))),
        }
    }

    fn conditions(&mut self) -> Result<Vec<Condition>, String> {
        let before = self.rest;
        self.spaces();
        let is_there =
            self.rest.len() < before.len() && self.rest.starts_with(['<', '>', '=', '!']);
        if !is_there {
            self.rest = before;
            return Ok(Vec::new());
        }
        let mut conditions = Vec::new();
        loop {
            let word = self.run(|c| !matches!(c, ',' | ' ' | '#'));
            if word.is_empty() {
                return Err("there is no version behind the comma".into());
            }
            conditions.push(word.parse().map_err(|error| format!("{error}"))?);
            if !self.take(",") {
                return Ok(conditions);
            }
        }
    }
}

fn unexpected(found: char, expected: &str) -> String {
    match found {
        '\t' => "there is a tab; only spaces separate".into(),
        found => format!("`{}` stands where {expected} is expected", found.escape_debug()),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.selectors.is_empty() {
            f.write_str(" [")?;
            separated(f, &self.selectors, " ")?;
            f.write_str("]")?;
        }
        if !self.conditions.is_empty() {
            f.write_str(" ")?;
            separated(f, &self.conditions, ",")?;
        }
        Ok(())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(profile) => profile.fmt(f),
            Self::All(profiles) => {
                f.write_str("(")?;
                separated(f, profiles, " ")?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_wanted { "" } else { "!" }, self.name)
    }
}

fn separated(
    f: &mut fmt::Formatter<'_>,
    items: &[impl fmt::Display],
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { separator })?;
        item.fmt(f)?;
    }
    Ok(())
}
