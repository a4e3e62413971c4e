//! [`Template`]: a text with places for words that are known later: `{prefix}/bin/python`.
//!
//! Braces that are meant stand twice, as in Python's format strings. What the words mean is for those
//! to say who fill them in.

/// A text with places for words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Word(String),
}

impl Template {
    /// Reads `text`, in which the words for which `is_known` holds may stand in braces.
    ///
    /// # Errors
    /// What is wrong with it: a brace without another, or a word that is not known.
    pub(super) fn parse(text: &str, is_known: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let Some((word, after)) = after.split_once('}').filter(|_| brace == "{") else {
                return Err(format!(
                    "a `{brace}` stands alone; one that is meant is `{brace}{brace}`"
                ));
            };
            if !is_known(word) {
                let word = word.escape_debug();
                return Err(format!(
                    "`{{{word}}}` is neither a word of loci nor one of `[variables]`"
                ));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Word(word.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// A text without places.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// The words that have a place here.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Word(word) => Some(word.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with `value` of each word in its place.
    #[must_use]
    pub fn fill(&self, value: &dyn Fn(&str) -> String) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Word(word) => value(word),
        });
        pieces.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn case(text: &str, filled: &str) {
        let outcome = match Template::parse(text, &|word| word == "prefix" || word == "X") {
            Ok(template) => template.fill(&|word| format!("<{word}>")),
            Err(reason) => reason,
        };
        assert_eq!(outcome, filled, "{text}");
    }

    #[test]
    fn words_are_filled_in() {
        case("", "");
        case("/usr/share", "/usr/share");
        case("{prefix}/bin/{X}{X}", "<prefix>/bin/<X><X>");
        case("{{prefix}} {{{X}}}", "{prefix} {<X>}");
        case("a}}b{{", "a}b{");
        case("{none}", "`{none}` is neither a word of loci nor one of `[variables]`");
        case("{}", "`{}` is neither a word of loci nor one of `[variables]`");
        case("{prefix", "a `{` stands alone; one that is meant is `{{`");
        case("prefix}", "a `}` stands alone; one that is meant is `}}`");
        case("{\n}", "`{\\n}` is neither a word of loci nor one of `[variables]`");
    }

    proptest! {
        #[test]
        fn text_with_doubled_braces_is_itself(text in "[a{} é]{0,12}") {
            let _ = Template::parse(&text, &|_| true);
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&doubled, &|_| false).unwrap();
            prop_assert_eq!(template.words().count(), 0);
            prop_assert_eq!(template.fill(&|_| String::new()), text);
        }
    }
}
