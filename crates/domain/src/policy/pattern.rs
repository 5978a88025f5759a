//! Texts with wildcards: `*` for any run of characters, `?` for exactly one.
//!
//! A match never tries the ways to share a text among several `*`: after each `*` the leftmost place that fits is as good as any other.
//! Where no `?` follows a `*` it takes time in proportion to text and pattern together.

use std::borrow::Cow;

use super::variables::Variable;
use super::{ConditionContext, MalformedPolicy};

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// These characters.
    Text(Box<str>),
    /// Any run of characters, perhaps empty.
    AnyRun,
    /// Exactly one character.
    AnyOne,
    /// What a policy variable stands for in this request. Matches nothing until it is replaced.
    Variable(Variable),
}

/// A text of a policy, with the wildcards and variables that its element allows.
#[derive(Debug)]
pub(super) struct Pattern {
    pieces: Box<[Piece]>,
    has_variables: bool,
}

/// What is special in a text, depending on the element and the version of the language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// `${...}` is a variable.
    pub(super) variables: bool,
}

impl Pattern {
    /// Reads a text of a policy.
    ///
    /// # Errors
    /// A variable that cannot be read.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, MalformedPolicy> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let after = rest.get(next.len_utf8()..).unwrap_or_default();
            let (piece, after) = match next {
                '*' if syntax.wildcards => (Some(Piece::AnyRun), after),
                '?' if syntax.wildcards => (Some(Piece::AnyOne), after),
                '$' if syntax.variables && after.starts_with('{') => Variable::parse(rest)?,
                _ => (None, after),
            };
            match piece {
                None => literal.push(next),
                // `${*}` and its like are plain characters.
                Some(Piece::Text(character)) => literal.push_str(&character),
                // Two stars in a row say no more than one.
                Some(Piece::AnyRun) if literal.is_empty() && pieces.last() == Some(&Piece::AnyRun) => {}
                Some(piece) => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(piece);
                }
            }
            rest = after;
        }
        flush(&mut literal, &mut pieces);
        let has_variables = pieces.iter().any(|piece| matches!(piece, Piece::Variable(_)));
        Ok(Self { pieces: pieces.into(), has_variables })
    }

    /// The pieces with each variable replaced by its value in this request. `None` where one has no value: such a text equals nothing.
    pub(super) fn resolve(&self, context: &dyn ConditionContext) -> Option<Cow<'_, [Piece]>> {
        if self.has_variables { resolve(&self.pieces, context).map(Cow::Owned) } else { Some(Cow::Borrowed(&self.pieces)) }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + weight(&self.pieces)
    }

    /// The pieces as written.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether the text depends on the request.
    pub(super) fn has_variables(&self) -> bool {
        self.has_variables
    }

    /// Whether the whole text fits, case included.
    pub(super) fn matches(&self, text: &str, context: &dyn ConditionContext) -> bool {
        self.resolve(context).is_some_and(|pieces| matches(&pieces, text, context))
    }

    /// Whether the whole text is the same but for case. For patterns without wildcards.
    pub(super) fn equals_ignoring_case(&self, text: &str, context: &dyn ConditionContext) -> bool {
        if !context.charge(CHEAPEST + text.len()) {
            return false;
        }
        self.resolve(context).is_some_and(|pieces| {
            let characters = pieces.iter().flat_map(|piece| match piece {
                Piece::Text(text) => text.chars(),
                _ => "".chars(),
            });
            characters.flat_map(char::to_lowercase).eq(text.chars().flat_map(char::to_lowercase))
        })
    }
}

/// About how many bytes of memory these pieces take, with what the allocator takes for each.
pub(super) fn weight(pieces: &[Piece]) -> usize {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => ALLOCATION + text.len(),
        Piece::Variable(_) => ALLOCATION + 64,
        Piece::AnyRun | Piece::AnyOne => 0,
    });
    ALLOCATION + size_of_val(pieces) + texts.sum::<usize>()
}

const ALLOCATION: usize = 16;

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal).into()));
    }
}

/// The pieces with each variable replaced by its value in this request. `None` where one has no value.
pub(super) fn resolve(pieces: &[Piece], context: &dyn ConditionContext) -> Option<Vec<Piece>> {
    let replaced = pieces.iter().map(|piece| match piece {
        Piece::Variable(variable) => variable.value(context).map(Piece::Text),
        other => Some(other.clone()),
    });
    replaced.collect()
}

/// What the quickest comparison takes.
const CHEAPEST: usize = 16;

/// Whether the whole text fits the pieces, case included.
pub(super) fn matches(pieces: &[Piece], text: &str, context: &dyn ConditionContext) -> bool {
    if !context.charge(CHEAPEST + pieces.len()) {
        return false;
    }
    let mut segments = pieces.split(|piece| *piece == Piece::AnyRun);
    let Some(first) = segments.next() else {
        return text.is_empty();
    };
    let Some(rest) = strip_start(first, text) else {
        return false;
    };
    let Some(last) = segments.next_back() else {
        return rest.is_empty();
    };
    let Some(mut rest) = strip_end(last, rest) else {
        return false;
    };
    for segment in segments {
        match skip_past(segment, rest, context) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// What is left of the text when it starts with the segment.
fn strip_start<'t>(segment: &[Piece], text: &'t str) -> Option<&'t str> {
    segment.iter().try_fold(text, |rest, piece| match piece {
        Piece::Text(literal) => rest.strip_prefix(&**literal),
        Piece::AnyOne => {
            let mut characters = rest.chars();
            characters.next().map(|_| characters.as_str())
        }
        Piece::AnyRun | Piece::Variable(_) => None,
    })
}

/// What is left of the text when it ends with the segment.
fn strip_end<'t>(segment: &[Piece], text: &'t str) -> Option<&'t str> {
    segment.iter().rev().try_fold(text, |rest, piece| match piece {
        Piece::Text(literal) => rest.strip_suffix(&**literal),
        Piece::AnyOne => {
            let mut characters = rest.chars();
            characters.next_back().map(|_| characters.as_str())
        }
        Piece::AnyRun | Piece::Variable(_) => None,
    })
}

/// What follows the leftmost place where the segment fits.
fn skip_past<'t>(segment: &[Piece], text: &'t str, context: &dyn ConditionContext) -> Option<&'t str> {
    if !context.charge(text.len()) {
        return None;
    }
    // The common cases, without further ado.
    match segment {
        [] => return Some(text),
        [Piece::Text(literal)] => return text.split_once(&**literal).map(|(_, after)| after),
        _ => {}
    }
    // `None` is any character.
    let mut symbols: Vec<Option<char>> = Vec::new();
    for piece in segment {
        match piece {
            Piece::Text(literal) => symbols.extend(literal.chars().map(Some)),
            Piece::AnyOne => symbols.push(None),
            Piece::AnyRun | Piece::Variable(_) => return None,
        }
    }
    let mut rest = text;
    loop {
        // Each symbol is compared at all places at once, some dozens in one instruction.
        if !context.charge(symbols.len().saturating_mul(STARTS / 32)) {
            return None;
        }
        let window: Vec<char> = rest.chars().take(STARTS + symbols.len() - 1).collect();
        let starts = (window.len() + 1).checked_sub(symbols.len()).filter(|starts| *starts > 0)?;
        if let Some(start) = first_fit(&symbols, &window, starts) {
            return Some(after_characters(rest, start + symbols.len()));
        }
        rest = after_characters(rest, STARTS);
    }
}

/// How many places are tried at once.
const STARTS: usize = 256;

/// The first of at most [`STARTS`] places in the window where all symbols fit. All places are tried side by side, symbol by symbol,
/// in loops that compile to vector instructions: a policy of 32 KiB against an encryption context of 8 KiB, made to defeat the matcher,
/// must not occupy the server.
fn first_fit(symbols: &[Option<char>], window: &[char], starts: usize) -> Option<usize> {
    let mut fits = [true; STARTS];
    for (offset, symbol) in symbols.iter().enumerate() {
        let Some(symbol) = symbol else { continue };
        for (fits, character) in fits.iter_mut().zip(window.get(offset..)?) {
            *fits &= character == symbol;
        }
        if !fits.iter().take(starts).any(|fits| *fits) {
            return None;
        }
    }
    fits.iter().take(starts).position(|fits| *fits)
}

/// The text without its first characters.
fn after_characters(text: &str, count: usize) -> &str {
    let mut characters = text.chars();
    if let Some(last) = count.checked_sub(1) {
        characters.nth(last);
    }
    characters.as_str()
}

/// A pattern for actions, whose names are compared without regard to case: `kms:*`, `kms:Gen*`, `*`.
#[derive(Debug)]
pub(super) struct ActionPattern(Box<[u8]>);

impl ActionPattern {
    /// Reads `*` or `VENDOR:NAME`, either part with wildcards.
    ///
    /// # Errors
    /// AWS's text for an action without its vendor, and ours for characters that no action has.
    pub(super) fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        let named =
            text.split_once(':').is_some_and(|(vendor, name)| !vendor.is_empty() && !name.is_empty() && !name.contains(':'));
        if text != "*" && !named {
            return Err(MalformedPolicy::new("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'*' | b'?' | b'-' | b'_' | b'.');
        if text.len() > 256 || !text.bytes().all(fits) {
            return Err(MalformedPolicy::new(format!("Invalid action {text:?}: use letters, digits, *, ?, -, _ and .")));
        }
        Ok(Self(text.as_bytes().into()))
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + ALLOCATION + self.0.len()
    }

    /// Whether the action fits. The pattern is short, so that remembering the last star and starting over from there is cheap.
    pub(super) fn matches(&self, action: &str) -> bool {
        let (mut pattern, mut text) = (&*self.0, action.as_bytes());
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern, text) {
                ([], []) => return true,
                ([b'*', after @ ..], _) => {
                    retry = Some((after, text));
                    pattern = after;
                }
                ([p, pattern_after @ ..], [t, text_after @ ..]) if *p == b'?' || p.eq_ignore_ascii_case(t) => {
                    (pattern, text) = (pattern_after, text_after);
                }
                _ => match retry {
                    Some((after, [_, shorter @ ..])) => {
                        retry = Some((after, shorter));
                        (pattern, text) = (after, shorter);
                    }
                    _ => return false,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Values;
    use proptest::prelude::*;

    struct Nothing;

    impl ConditionContext for Nothing {
        fn values(&self, _key: &str) -> Values<'_> {
            Values::Absent
        }
    }

    fn like(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern, Syntax { wildcards: true, variables: false }).unwrap().matches(text, &Nothing)
    }

    /// The definition, by trying everything.
    fn like_by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| like_by_definition(rest, &text[skip..])),
            ['?', rest @ ..] => !text.is_empty() && like_by_definition(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && like_by_definition(rest, &text[1..]),
        }
    }

    #[test]
    fn wildcards_mean_what_they_say() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("*a*b", "xaxbxb", true),
            ("a?c*", "abcd", true),
            ("*.example.com", "example.com", false),
            ("A", "a", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_in_reasonable_time() {
        // A matcher that tries every way to share the text among the stars would not come back.
        assert!(!like(&format!("{}b", "*a".repeat(2000)), &"a".repeat(8000)));
        assert!(!like(&format!("{}b", "*a?".repeat(1000)), &"a".repeat(8000)));
        assert!(!ActionPattern::parse(&format!("k:{}b", "*a".repeat(100))).unwrap().matches(&format!("k:{}", "a".repeat(200))));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[aé*?]{0,8}", text in "[aébA]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(like(&pattern, &text), like_by_definition(&p, &t));
        }

        /// Places far apart, on both sides of the blocks in which they are tried.
        #[test]
        fn finds_far_places(before in 0..700_usize, after in 0..300_usize, wide in any::<bool>(), hit in any::<bool>()) {
            let filler = if wide { "é" } else { "b" };
            let text = format!("{}{}{}", filler.repeat(before), if hit { "axc" } else { "axx" }, filler.repeat(after));
            prop_assert_eq!(like("*a?c*", &text), hit);
            prop_assert_eq!(like("*a?c*c*", &text), false);
        }

        #[test]
        fn actions_agree_with_the_definition(pattern in "k:[aB*?]{1,8}", text in "[kK]:[aAbB]{0,8}") {
            let lower = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<_>>();
            let expected = like_by_definition(&lower(&pattern), &lower(&text));
            prop_assert_eq!(ActionPattern::parse(&pattern).unwrap().matches(&text), expected);
        }
    }
}
