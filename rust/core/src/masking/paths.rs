//! Path rules: the values that a path of JSON names are replaced, and the rest stays as it is, to the byte.
//!
//! Paths are PostgreSQL's and RFC 9535's in what they have in common: `$`, `.name`, `['name']`, `.*`, `[*]`, `[3]`, and `..` ahead of
//! a name, `*` or brackets for any depth. They are read leniently, as PostgreSQL's lax mode does: where an array stands in for an
//! object its elements are meant, and where one value stands in for an array it is meant itself.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    json::{string_length, unquoted},
    kinds::Kind,
    operators::{Keys, Operator, masked, string},
};

/// Deeper than this a document is masked whole, if a path may still lead on there.
const MOST_DEPTH: usize = 128;

const MOST_STEPS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(Vec<u8>),
    /// Every member or element.
    Any,
    Element(Option<usize>),
}

/// What has been followed so far: a step to come, or the end of a path.
#[derive(Debug, Clone)]
enum State {
    Ahead { step: Step, at_any_depth: bool },
    End { rule: usize },
}

/// The path rules of one column.
#[derive(Debug, Clone)]
pub struct Paths {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rules: Vec<(String, Operator)>,
    /// Path behind path, each up to its end.
    states: Vec<State>,
    begins: Vec<usize>,
}

impl Paths {
    /// Reads `[{"rule":"…","paths":["$.a"],"operator":{"redact":{}}}]`. Of two paths that name one value the first counts.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("path rules {text}: {error}"))?;
        let mut inner = Inner {
            rules: Vec::new(),
            states: Vec::new(),
            begins: Vec::new(),
        };
        for rule in value.as_array().ok_or("path rules are a list")? {
            let name = rule
                .get("rule")
                .and_then(Value::as_str)
                .ok_or("a path rule has a name")?;
            let paths = rule
                .get("paths")
                .and_then(Value::as_array)
                .ok_or("a path rule has paths")?;
            let operator = Operator::from_value(rule.get("operator").ok_or("a path rule has an operator")?)?;
            for path in paths {
                let steps = steps(path.as_str().ok_or("a path is a text")?)?;
                inner.begins.push(inner.states.len());
                inner.states.extend(
                    steps
                        .into_iter()
                        .map(|(step, at_any_depth)| State::Ahead { step, at_any_depth }),
                );
                inner.states.push(State::End {
                    rule: inner.rules.len(),
                });
            }
            inner.rules.push((name.to_owned(), operator));
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The names of the rules.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.inner.rules.iter().map(|(name, _)| &name[..])
    }

    /// The JSON text with what the paths name replaced, and the rules that did it, once for each value; `None` where the text is no
    /// JSON, or too deep.
    pub fn mask(&self, text: &[u8], keys: &Keys) -> Option<(Vec<u8>, Vec<&str>)> {
        let readable = std::str::from_utf8(text).ok()?;
        serde_json::from_str::<IgnoredAny>(readable).ok()?;
        let mut walk = Walk {
            paths: &self.inner,
            keys,
            text,
            out: Vec::new(),
            copied: 0,
            replaced: Vec::new(),
        };
        walk.value(0, &self.inner.begins, 0)?;
        let Walk {
            mut out,
            copied,
            replaced,
            ..
        } = walk;
        out.extend_from_slice(text.get(copied..)?);
        Some((
            out,
            replaced
                .into_iter()
                .filter_map(|rule| self.rules().nth(rule))
                .collect(),
        ))
    }
}

/// What is wrong with a path, or nothing.
pub fn problem(path: &str) -> Option<String> {
    steps(path).err()
}

// -- reading a path

fn steps(path: &str) -> Result<Vec<(Step, bool)>, String> {
    let mut rest = path.strip_prefix('$').ok_or("a path begins with $")?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let deeper = rest.strip_prefix("..");
        let behind = deeper.or_else(|| rest.strip_prefix('.'));
        let (step, left) = match (behind, behind.unwrap_or(rest)) {
            (None, bracket) => in_brackets(bracket)?,
            (Some(_), bracket) if bracket.starts_with('[') && deeper.is_some() => in_brackets(bracket)?,
            (Some(_), word) => bare(word)?,
        };
        steps.push((step, deeper.is_some()));
        rest = left;
    }
    if steps.len() > MOST_STEPS {
        return Err(format!("a path has at most {MOST_STEPS} steps"));
    }
    Ok(steps)
}

fn bare(text: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Step::Any, rest));
    }
    let is_of_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '$');
    let (name, rest) = text.split_at(
        text.find(|character| !is_of_name(character))
            .unwrap_or(text.len()),
    );
    match name {
        "" => Err(
            "a name, * or [ follows a dot; other names stand in brackets, as in ['first name']".to_owned(),
        ),
        name => Ok((Step::Name(name.into()), rest)),
    }
}

fn in_brackets(text: &str) -> Result<(Step, &str), String> {
    let inside = text
        .strip_prefix('[')
        .ok_or("a step is .name, ['name'], [*] or [0]")?;
    if let Some(rest) = inside.strip_prefix("*]") {
        return Ok((Step::Element(None), rest));
    }
    if inside.starts_with(['\'', '"']) {
        return quoted(inside);
    }
    let (number, rest) = inside.split_once(']').ok_or("a bracket is not closed")?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| digits);
    number
        .map(|number| (Step::Element(Some(number)), rest))
        .ok_or_else(|| {
            "in brackets stand a quoted name, * or a number; slices and filters are not supported".to_owned()
        })
}

/// A quoted name; in it a backslash stands ahead of a quote or a backslash.
fn quoted(text: &str) -> Result<(Step, &str), String> {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    let mut name = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => name.push(escaped),
                _ => return Err("a backslash in a name stands ahead of a quote or a backslash".to_owned()),
            },
            _ if Some(character) == quote => {
                let rest = text.get(at + 1..).and_then(|rest| rest.strip_prefix(']'));
                return rest
                    .map(|rest| (Step::Name(name.into_bytes()), rest))
                    .ok_or_else(|| "a bracket is not closed".to_owned());
            }
            _ => name.push(character),
        }
    }
    Err("a quote is not closed".to_owned())
}

// -- following paths

/// One way through a text that is valid JSON.
struct Walk<'a> {
    paths: &'a Inner,
    keys: &'a Keys,
    text: &'a [u8],
    out: Vec<u8>,
    /// How much of the text is in `out`.
    copied: usize,
    replaced: Vec<usize>,
}

impl Walk<'_> {
    /// The end of the value at or behind `at`, to which these states have led. `None` where the text is not what it should be.
    fn value(&mut self, at: usize, states: &[usize], depth: usize) -> Option<usize> {
        let at = self.behind_blanks(at);
        let first = *self.text.get(at)?;
        let states = self.leniently(states, first);
        let end = states
            .iter()
            .find_map(|&state| match self.paths.states.get(state) {
                Some(State::End { rule }) => Some(*rule),
                _ => None,
            });
        if let Some(rule) = end {
            let end = self.end_of(at)?;
            self.replace(at, end, rule)?;
            return Some(end);
        }
        match first {
            b'{' | b'[' if states.is_empty() => self.end_of(at),
            b'{' | b'[' if depth == MOST_DEPTH => None,
            b'{' => self.object(at + 1, &states, depth + 1),
            b'[' => self.array(at + 1, &states, depth + 1),
            _ => self.end_of(at),
        }
    }

    /// With the states behind `[*]` and `[0]` where the value is no array.
    fn leniently(&self, states: &[usize], first: u8) -> Vec<usize> {
        let mut all = states.to_vec();
        let mut at = 0;
        while let Some(&state) = all.get(at) {
            at += 1;
            if let Some(State::Ahead {
                step: Step::Element(None | Some(0)),
                at_any_depth: false,
            }) = self.paths.states.get(state)
                && first != b'['
                && !all.contains(&(state + 1))
            {
                all.push(state + 1);
            }
        }
        all
    }

    fn object(&mut self, mut at: usize, states: &[usize], depth: usize) -> Option<usize> {
        loop {
            at = self.behind_blanks(at);
            match self.text.get(at)? {
                b'}' => return Some(at + 1),
                b',' => at += 1,
                _ => {
                    let end = self.end_of(at)?;
                    let name = unquoted(self.text.get(at..end)?);
                    let of_member = self.next(states, |step| match step {
                        Step::Name(wanted) => (**wanted == *name, false),
                        Step::Any => (true, false),
                        Step::Element(_) => (false, false),
                    });
                    let colon = self.behind_blanks(end);
                    at = self.value(colon + 1, &of_member, depth)?;
                }
            }
        }
    }

    fn array(&mut self, mut at: usize, states: &[usize], depth: usize) -> Option<usize> {
        let mut index = 0;
        loop {
            at = self.behind_blanks(at);
            match self.text.get(at)? {
                b']' => return Some(at + 1),
                b',' => at += 1,
                _ => {
                    let of_element = self.next(states, |step| match step {
                        Step::Name(_) => (false, true),
                        Step::Any | Step::Element(None) => (true, false),
                        Step::Element(Some(wanted)) => (*wanted == index, false),
                    });
                    index += 1;
                    at = self.value(at, &of_element, depth)?;
                }
            }
        }
    }

    /// The states that lead on. `taken` says of a step whether it is done, and whether it is still ahead.
    fn next(&self, states: &[usize], taken: impl Fn(&Step) -> (bool, bool)) -> Vec<usize> {
        let mut all = Vec::new();
        for &state in states {
            let Some(State::Ahead { step, at_any_depth }) = self.paths.states.get(state) else {
                continue;
            };
            let (is_done, is_ahead) = taken(step);
            for next in [
                is_done.then_some(state + 1),
                (is_ahead || *at_any_depth).then_some(state),
            ]
            .into_iter()
            .flatten()
            {
                if !all.contains(&next) {
                    all.push(next);
                }
            }
        }
        all
    }

    fn behind_blanks(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count()
    }

    /// Where the value that begins at `at` ends.
    fn end_of(&self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let (mut length, mut open) = (0, 0usize);
        while let Some(&byte) = rest.get(length) {
            match byte {
                b'"' => length += string_length(rest.get(length..)?),
                b'{' | b'[' => (length, open) = (length + 1, open + 1),
                b'}' | b']' => (length, open) = (length + 1, open.checked_sub(1)?),
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => length += 1,
                _ => {
                    let behind = rest.get(length..)?.iter();
                    let word = behind.take_while(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
                    });
                    length += Some(word.count()).filter(|length| *length > 0)?;
                }
            }
            if open == 0 {
                return Some(at + length);
            }
        }
        None
    }

    fn replace(&mut self, start: usize, end: usize, rule: usize) -> Option<()> {
        let original = self.text.get(start..end)?;
        if original == b"null" {
            return Some(());
        }
        let (_, operator) = self.paths.rules.get(rule)?;
        let masked = replacement(operator, original, self.keys);
        self.out.extend_from_slice(self.text.get(self.copied..start)?);
        self.out.extend_from_slice(masked.as_bytes());
        self.copied = end;
        self.replaced.push(rule);
        Some(())
    }
}

/// What takes the place of a JSON value, as JSON. A number stays one under `hash`, `tokenize` and `range`; an object or an array is
/// one value.
fn replacement(operator: &Operator, value: &[u8], keys: &Keys) -> String {
    let redacted = || Operator::Redact.apply(value, keys);
    let masked = match value.first() {
        Some(b'"') => operator.apply(&unquoted(value), keys),
        Some(b'{' | b'[' | b't' | b'f') => match operator {
            Operator::Null => None,
            Operator::Hash | Operator::Tokenize
                if value.len() > b"false".len() || value.first() == Some(&b'{') =>
            {
                Operator::Hash.apply(value, keys)
            }
            _ => redacted(),
        },
        _ => match (
            operator,
            self::masked(operator, Kind::Numeric, false, value, keys),
        ) {
            (Operator::Null, _) => None,
            (_, Some(number)) => return String::from_utf8_lossy(&number).into_owned(),
            (Operator::Partial { .. }, None) => operator.apply(value, keys),
            (_, None) => redacted(),
        },
    };
    masked.map_or("null".to_owned(), |text| string(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(paths: &[&str], operator: &str) -> Paths {
        let operator: Value = serde_json::from_str(operator).unwrap();
        let rules = serde_json::json!([{"rule": "r", "paths": paths, "operator": operator}]);
        Paths::from_json(&rules.to_string()).unwrap()
    }

    fn masked(path: &[&str], operator: &str, text: &str) -> Option<String> {
        let (out, _) = paths(path, operator).mask(text.as_bytes(), &Keys::new(b"key").unwrap())?;
        Some(String::from_utf8(out).unwrap())
    }

    fn redacted(path: &str, text: &str) -> String {
        masked(&[path], r#"{"redact":{}}"#, text).unwrap()
    }

    #[test]
    fn what_a_path_names_is_replaced_and_the_rest_stays() {
        let text = r#" { "user" : {"email":"a@b", "n": 1.50 } , "items":[{"card":42},{"card":[1,2]}], "x" : null } "#;
        for (path, expected) in [
            ("$.user.email", text.replace(r#""a@b""#, r#""[redacted]""#)),
            ("$['user'][\"n\"]", text.replace("1.50", r#""[redacted]""#)),
            (
                "$.items[*].card",
                text.replace("42", r#""[redacted]""#)
                    .replace("[1,2]", r#""[redacted]""#),
            ),
            ("$.items[1].card", text.replace("[1,2]", r#""[redacted]""#)),
            (
                "$..card",
                text.replace("42", r#""[redacted]""#)
                    .replace("[1,2]", r#""[redacted]""#),
            ),
            (
                "$.user.*",
                text.replace(r#""a@b""#, r#""[redacted]""#)
                    .replace("1.50", r#""[redacted]""#),
            ),
            (
                "$.items..[0]",
                text.replace(r#"{"card":42}"#, r#""[redacted]""#)
                    .replace("[1,2]", r#"["[redacted]",2]"#),
            ),
            (
                "$.user",
                text.replace(r#"{"email":"a@b", "n": 1.50 }"#, r#""[redacted]""#),
            ),
            ("$.x", text.to_owned()),
            ("$.User.email", text.to_owned()),
            ("$", r#" "[redacted]" "#.to_owned()),
        ] {
            assert_eq!(redacted(path, text), expected, "{path}");
        }
    }

    #[test]
    fn i5_no_spelling_of_a_document_gets_round_a_path() {
        for (path, text) in [
            ("$.ssn", r#"{"ssn":"s","ssn":"s"}"#),
            ("$.ssn", r#"{"\u0073s\u006e":"s"}"#),
            ("$.ssn", r#"[{"ssn":"s"}]"#),
            ("$.a.ssn", r#"{"a":[[{"ssn":"s"}]]}"#),
            ("$.a[*].ssn", r#"{"a":{"ssn":"s"}}"#),
            ("$.a[*]", r#"{"a":"s"}"#),
            ("$.a.ssn", r#"{"a":{"ssn":{"deep":["s"]}}}"#),
            ("$['a.b']", r#"{"a.b":"s"}"#),
            ("$['it\\'s']", r#"{"it's":"s"}"#),
            ("$..ssn", r#"{"x":{"ssn":["s"]},"ssn":"s"}"#),
            ("$.a..b.c", r#"{"a":{"b":{"b":{"c":"s"}}}}"#),
        ] {
            assert!(!redacted(path, text).contains("\"s\""), "{path}");
        }
    }

    #[test]
    fn what_is_no_json_or_too_deep_has_no_masked_form() {
        for text in [
            "",
            "{",
            r#"{"a":1}}"#,
            "{'ssn':1}",
            "[1,]",
            "nul",
            "{\"a\":\"\u{1}\"}",
        ] {
            assert_eq!(masked(&["$..ssn"], r#"{"redact":{}}"#, text), None, "{text}");
        }
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(masked(&["$..ssn"], r#"{"redact":{}}"#, &deep(200)), None);
        assert!(
            masked(
                &["$.ssn.a"],
                r#"{"redact":{}}"#,
                &format!("{{\"x\":{}}}", deep(20_000))
            )
            .is_some()
        );
    }

    #[test]
    fn operators_keep_numbers_numbers_where_they_can() {
        let text = r#"{"a":1234,"b":"1234","c":true,"d":[1]}"#;
        let all = &["$.*"];
        assert_eq!(
            masked(all, r#"{"null":{}}"#, text).unwrap(),
            r#"{"a":null,"b":null,"c":null,"d":null}"#
        );
        let range = masked(all, r#"{"range":{"width":100}}"#, text).unwrap();
        assert_eq!(
            range,
            r#"{"a":1200,"b":"1200","c":"[redacted]","d":"[redacted]"}"#
        );
        for operator in [r#"{"hash":{}}"#, r#"{"tokenize":{}}"#] {
            let out: Value = serde_json::from_str(&masked(all, operator, text).unwrap()).unwrap();
            assert!(out["a"].is_number() && out["b"].is_string() && out["d"].is_string());
            assert_eq!(out["c"], "[redacted]");
            assert!(out["a"] != 1234 && out["b"] != "1234");
        }
    }

    #[test]
    fn a_path_that_is_none_says_why() {
        for path in [
            "",
            "a",
            "$a",
            "$.",
            "$..",
            "$[",
            "$[-1]",
            "$[1:2]",
            "$[?(@.a)]",
            "$['a",
            "$['a'",
            "$.a b",
            "$['a\\n']",
            "$.['a']",
        ] {
            assert!(problem(path).is_some(), "{path}");
        }
        assert!(problem("$.a").is_none());
        assert!(problem(&format!("${}", ".a".repeat(65))).is_some());
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\é\n]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[abc]", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// `$..a` as one would write it down.
    fn without(value: &Value) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| match (&name[..], value) {
                    ("a", Value::Null) => (name.clone(), Value::Null),
                    ("a", _) => (name.clone(), "[redacted]".into()),
                    _ => (name.clone(), without(value)),
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Array(values) => values.iter().map(without).collect::<Vec<_>>().into(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_masked_document_is_the_same_but_for_what_is_named(document in documents(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
            let out: Value = serde_json::from_str(&redacted("$..a", &text)).unwrap();
            prop_assert_eq!(out, without(&document));
            prop_assert_eq!(redacted("$.nothing", &text), text);
        }

        #[test]
        fn garbage_never_panics(text: String, path in "[$a.\\[\\]*'0-9]{0,12}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let keys = Keys::new(b"key").unwrap();
            if problem(&path).is_none() {
                let paths = paths(&[&path], r#"{"hash":{}}"#);
                let _ = (paths.mask(text.as_bytes(), &keys), paths.mask(&bytes, &keys));
            }
            let _ = (problem(&text), problem(&format!("${text}")));
        }
    }
}
