//! Detectors of a policy's own: a regular expression that cannot be slow, words of context, a checksum.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use serde_json::Value;

use super::context::{self, Words};
use super::detectors::{Hit, luhn_of, modulo_97_of};

/// The most bytes that a match may have: what is looked at again where a match is turned down.
pub const LONGEST: usize = 512;
/// How much memory a pattern may take when it is made ready.
const SIZE_LIMIT: usize = 1 << 18;
/// How many of them a masker takes.
pub const MOST: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checksum {
    None,
    Luhn,
    Mod97,
}

/// A detector of a policy's own.
pub struct Custom {
    pub name: String,
    pattern: Regex,
    /// Empty where it needs none.
    words: Option<Words<u8>>,
    checksum: Checksum,
}

impl Custom {
    /// Reads `{"name":…,"pattern":…,"context":[…],"checksum":"luhn"}`; the last two may be left out.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("a detector: {error}"))?;
        let said = |key: &str| value.get(key).and_then(Value::as_str);
        let words: Vec<String> = value
            .get("context")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(as_one_word)
            .collect();
        let words = (!words.is_empty()).then(|| Words::new(words.iter().map(|word| (word.as_str(), 1))));
        let checksum = match said("checksum") {
            None | Some("none") => Checksum::None,
            Some("luhn") => Checksum::Luhn,
            Some("mod97") => Checksum::Mod97,
            Some(other) => return Err(format!("unknown checksum {other:?}")),
        };
        Ok(Self {
            name: said("name").unwrap_or_default().to_owned(),
            pattern: compiled(said("pattern").unwrap_or_default())?,
            words,
            checksum,
        })
    }

    /// Every hit. `is_named`: the column's name has one of the words.
    pub fn find(&self, text: &[u8], is_named: bool) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut from = 0;
        while let Some(proposal) = self
            .pattern
            .find_at(text, from)
            .filter(|proposal| !proposal.is_empty())
        {
            let is_hit =
                self.holds(proposal.as_bytes()) && (is_named || self.is_in_context(text, proposal.start()));
            if is_hit {
                hits.push(Hit {
                    start: proposal.start(),
                    end: proposal.end(),
                });
            }
            from = if is_hit {
                proposal.end()
            } else {
                proposal.start() + 1
            };
        }
        hits
    }

    /// True where a column's name has one of the words.
    pub fn is_named_by(&self, name: &[u8]) -> bool {
        let has = |words: &Words<u8>| words.ahead_of(name, name.len(), name.len()) > 0;
        self.words.as_ref().is_some_and(has)
    }

    fn is_in_context(&self, text: &[u8], start: usize) -> bool {
        let has = |words: &Words<u8>| words.ahead_of(text, start, context::WINDOW) > 0;
        self.words.as_ref().is_none_or(has)
    }

    fn holds(&self, written: &[u8]) -> bool {
        match self.checksum {
            Checksum::None => true,
            Checksum::Luhn => luhn_of(written),
            Checksum::Mod97 => modulo_97_of(written) == 1,
        }
    }
}

/// Words of context are written as one, in small letters (`context.rs`).
fn as_one_word(words: &str) -> String {
    let letters = words
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '_' | '-' | '.'));
    letters.flat_map(char::to_lowercase).collect()
}

/// The pattern, if each search takes a time that is linear in the text and short of a bound.
fn compiled(pattern: &str) -> Result<Regex, String> {
    let parsed = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(50)
        .build()
        .parse(pattern);
    let parsed = parsed.map_err(|error| last_line(&error.to_string()))?;
    let properties = parsed.properties();
    if properties.minimum_len().unwrap_or(0) == 0 {
        return Err("it matches the empty string".to_owned());
    }
    match properties.maximum_len() {
        None => return Err("a match has no greatest length; write {1,64} where it has + or *".to_owned()),
        Some(longest) if longest > LONGEST => {
            return Err(format!("a match may be longer than {LONGEST} bytes"));
        }
        Some(_) => {}
    }
    let built = RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(8 * SIZE_LIMIT)
        .build();
    built.map_err(|_| "it is too large, as repetitions within repetitions are".to_owned())
}

/// What a parser says at last, without its drawing of the pattern.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// What is wrong with a detector whose examples are these; empty where nothing is.
pub fn problem(json: &str, must_match: &[String], must_not_match: &[String]) -> String {
    let custom = match Custom::from_json(json) {
        Ok(custom) => custom,
        Err(problem) => return format!("the pattern is refused: {problem}"),
    };
    let is_found = |text: &&String| !custom.find(text.as_bytes(), false).is_empty();
    if let Some(text) = must_match.iter().find(|text| !is_found(text)) {
        return format!("the example {text:?} is not found");
    }
    let wrong = must_not_match.iter().find(is_found);
    wrong.map_or_else(String::new, |text| format!("the example {text:?} is found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(pattern: &str, rest: &str) -> Result<Custom, String> {
        let pattern = serde_json::Value::String(pattern.to_owned());
        Custom::from_json(&format!("{{\"name\":\"x\",\"pattern\":{pattern}{rest}}}"))
    }

    #[test]
    fn a_pattern_that_could_be_slow_or_find_nothing_is_refused() {
        for (pattern, problem) in [
            ("a*", "empty"),
            ("", "empty"),
            ("EMP-[0-9]+", "no greatest length"),
            ("[0-9]{600}", "longer than"),
            (
                "(?:(?:[a-z]{1,20}){1,5}[0-9]{1,9}){1,4}(?:[a-z0-9]{1,3}){1,20}",
                "",
            ),
            ("(", "unclosed group"),
            ("(a)\\1", "backreferences"),
            ("(?=a)b", "look-around"),
        ] {
            match custom(pattern, "") {
                Err(error) => assert!(error.contains(problem), "{pattern}: {error}"),
                Ok(_) => assert_eq!(problem, "", "{pattern}"),
            }
        }
    }

    #[test]
    fn a_match_counts_with_its_checksum_and_its_context() {
        let badge = custom(r"\bEMP-[0-9]{6}\b", "").unwrap();
        assert_eq!(
            badge.find(b"EMP-123456 EMP-1 xEMP-123456", false),
            [Hit { start: 0, end: 10 }]
        );
        let luhn = custom("[0-9]{4}", ",\"checksum\":\"luhn\"").unwrap();
        assert_eq!(luhn.find(b"1 0000 18 1234", false), [Hit { start: 2, end: 6 }]);
        let member = custom("[0-9]{6}", ",\"context\":[\"Member No\"]").unwrap();
        assert_eq!(member.find(b"member_no: 123456", false).len(), 1);
        assert_eq!(
            (
                member.find(b"123456", false).len(),
                member.find(b"123456", true).len()
            ),
            (0, 1)
        );
        assert!(member.is_named_by(b"memberNo") && !member.is_named_by(b"number"));
    }

    #[test]
    fn examples_that_fail_are_told() {
        let json = r#"{"name":"x","pattern":"EMP-[0-9]{2}"}"#;
        let (good, bad) = (vec!["EMP-12".to_owned()], vec!["EMP-1".to_owned()]);
        assert_eq!(problem(json, &good, &bad), "");
        assert_eq!(problem(json, &bad, &[]), "the example \"EMP-1\" is not found");
        assert_eq!(problem(json, &[], &good), "the example \"EMP-12\" is found");
    }
}
