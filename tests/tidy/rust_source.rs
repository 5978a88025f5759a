//! A Rust file taken apart: code, comments, literals, and which of it is tests. Not a parser: it knows just enough for the checks.

use std::ops::Range;

/// A file.
pub(super) struct RustSource {
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and the contents of literals blanked out. As long as the text.
    pub(super) code: String,
    /// The text with everything but the contents of literals blanked out. As long as the text.
    pub(super) literals: String,
    /// Items under `#[cfg(test)]`.
    tests: Vec<Range<usize>>,
    /// Attributes that lift lints, and what they cover.
    pub(super) lifted: Vec<Lifted>,
}

/// `#[allow(...)]` or `#[expect(...)]`.
pub(super) struct Lifted {
    pub(super) attribute: String,
    pub(super) at: usize,
    covers: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Code,
    Comment,
    Literal,
}

impl RustSource {
    pub(super) fn parse(path: &str, text: &str) -> Self {
        let classes = classify(text.as_bytes());
        let only = |class: Class| {
            let keep = |(byte, of): (u8, &Class)| if *of == class || byte == b'\n' { byte } else { b' ' };
            String::from_utf8_lossy(&text.bytes().zip(&classes).map(keep).collect::<Vec<u8>>()).into_owned()
        };
        let (code, literals) = (only(Class::Code), only(Class::Literal));
        let mut source =
            Self { path: path.to_owned(), text: text.to_owned(), code, literals, tests: Vec::new(), lifted: Vec::new() };
        source.read_attributes();
        source
    }

    /// Where `pattern` is in the code outside tests.
    pub(super) fn find_in_code(&self, pattern: &str) -> Vec<usize> {
        self.code.match_indices(pattern).map(|(at, _)| at).filter(|at| !self.is_test(*at)).collect()
    }

    /// Whether a place belongs to an item that is only there in tests.
    pub(super) fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// Whether a lint is lifted at a place.
    pub(super) fn is_lifted(&self, lint: &str, at: usize) -> bool {
        self.lifted.iter().any(|lifted| lifted.covers.contains(&at) && lifted.attribute.contains(lint))
    }

    /// The line of a place, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The place as people and editors write it.
    pub(super) fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.line(at))
    }

    /// Lines that are not in tests.
    pub(super) fn lines_before_tests(&self) -> usize {
        let newlines = self.text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(newlines).filter(|start| *start < self.text.len());
        starts.filter(|start| !self.is_test(*start)).count()
    }

    /// The files that `#[cfg(test)] mod name;` brings in, without `.rs`.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let directory = match self.path.rsplit_once('/') {
            Some((directory, "lib.rs" | "main.rs" | "mod.rs")) => directory.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let module = |range: &Range<usize>| {
            let item = self.code[range.clone()].trim().trim_end_matches(';');
            let (head, name) = item.rsplit_once(' ')?;
            (head.ends_with("mod") && !item.contains('{')).then(|| format!("{directory}/{name}"))
        };
        self.tests.iter().filter_map(module).collect()
    }

    /// The body of each function with its name, braces included.
    pub(super) fn functions(&self) -> Vec<(String, Range<usize>)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            let before = self.code[..at].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let name: String = self.code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let end = item_end(&self.code, at);
            if !name.is_empty() && self.code[at..end].ends_with('}') {
                found.push((name, at..end));
            }
        }
        found
    }

    fn read_attributes(&mut self) {
        let starts: Vec<usize> = self.code.match_indices("#[").chain(self.code.match_indices("#![")).map(|(at, _)| at).collect();
        for at in starts {
            let inner = self.code[at..].starts_with("#!");
            let end = closing(&self.code, at + if inner { 2 } else { 1 });
            let attribute = self.text[at..end].to_owned();
            let covers = if inner { 0..self.text.len() } else { at..item_end(&self.code, skip_attributes(&self.code, end)) };
            let words = self.code[at..end].trim_start_matches(['#', '!', '[']);
            if words.starts_with("cfg(") && has_word(words, "test") && !words.contains("not(test") {
                self.tests.push(covers.clone());
            }
            if words.starts_with("allow(") || words.starts_with("expect(") {
                self.lifted.push(Lifted { attribute, at, covers });
            }
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// Behind the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn skip_attributes(code: &str, from: usize) -> usize {
    let start = from + (code[from..].len() - code[from..].trim_start().len());
    if code[start..].starts_with("#[") { skip_attributes(code, closing(code, start + 1)) } else { start }
}

/// Behind the item, statement, field or arm that begins at `from`.
fn item_end(code: &str, from: usize) -> usize {
    const TO_SEMICOLON: &[&str] = &["let ", "const ", "static ", "use ", "type "];
    const WITH_COMMAS: &[&str] =
        &["pub", "fn ", "async ", "unsafe ", "impl", "struct ", "enum ", "trait ", "mod ", "macro_rules"];
    let item = &code[from..];
    let to_semicolon = TO_SEMICOLON.iter().any(|word| item.starts_with(word));
    let with_commas = to_semicolon || WITH_COMMAS.iter().any(|word| item.starts_with(word));
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        match byte {
            _ if depth < 0 => return at,
            b';' if depth == 0 => return at + 1,
            b',' if depth == 0 && !with_commas => return at + 1,
            b'}' if depth == 0 && !to_semicolon => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn classify(text: &[u8]) -> Vec<Class> {
    let mut classes = vec![Class::Code; text.len()];
    let mut at = 0;
    while at < text.len() {
        // From where to where it is what, and the last byte of it all.
        let (inside, end, class) = match text[at] {
            b'/' if text.get(at + 1) == Some(&b'/') => (at, line_end(text, at), Class::Comment),
            b'/' if text.get(at + 1) == Some(&b'*') => {
                let end = comment_end(text, at);
                classes[at..end].fill(Class::Comment);
                (end, end - 1, Class::Comment)
            }
            b'"' => (at + 1, string_end(text, at + 1), Class::Literal),
            b'r' if begins_literal(text, at) => match raw_string(text, at) {
                Some((inside, end)) => (inside, end, Class::Literal),
                None => (at, at, Class::Code),
            },
            b'\'' => (at + 1, character_end(text, at + 1), Class::Literal),
            _ => (at, at, Class::Code),
        };
        if let Some(part) = classes.get_mut(inside..end) {
            part.fill(class);
        }
        at = end.max(at) + 1;
    }
    classes
}

fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| from + length)
}

fn comment_end(text: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at.min(text.len())
}

/// Whether an `r` is the beginning of a literal's prefix (`r"`, `br"`, `cr"`), and not the end of a name.
fn begins_literal(text: &[u8], at: usize) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match at.checked_sub(1).and_then(|before| text.get(before)) {
        Some(b'b' | b'c') => !at.checked_sub(2).and_then(|before| text.get(before)).is_some_and(is_name),
        Some(before) => !is_name(before),
        None => true,
    }
}

fn raw_string(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let hashes = text[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let inside = at + 1 + hashes + 1;
    if text.get(inside - 1) != Some(&b'"') {
        return None;
    }
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let length = text[inside..].windows(closing.len()).position(|window| window == closing)?;
    // The hashes behind it are code, and harmless.
    Some((inside, inside + length))
}

/// The end of a character literal's content; `from` itself when this is a lifetime.
fn character_end(text: &[u8], from: usize) -> usize {
    if text.get(from) == Some(&b'\\') {
        let quote = text[from + 2..].iter().position(|byte| *byte == b'\'');
        return quote.map_or(from, |length| from + 2 + length);
    }
    let width = text.get(from).map_or(1, |first| (first.leading_ones() as usize).max(1));
    if text.get(from + width) == Some(&b'\'') { from + width } else { from.saturating_sub(1) }
}

#[test]
fn code_comments_and_literals_are_told_apart() {
    let text = "let a = \"x // y\"; // \"z\"\nlet b = r#\"un\"safe\"#; let c: &'a u8 = b'\\''; /* /* { */ } */ let d = '{';";
    let source = RustSource::parse("a.rs", text);
    assert_eq!(source.code.len(), text.len());
    let code: Vec<&str> = source.code.split_whitespace().collect();
    let expected = "let a = \" \"; let b = r#\" \"#; let c: &'a u8 = b' '; let d = ' ';";
    assert_eq!(code, expected.split_whitespace().collect::<Vec<_>>());
    assert!(source.literals.contains("un\"safe") && source.literals.contains("x // y") && !source.literals.contains('z'));
}

#[test]
fn tests_and_lifted_lints_cover_what_they_stand_before() {
    let text = "\
fn a<A, B>() { x.unwrap() }
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = \"r\")]
mod tests { fn b() { x.unwrap() } }
#[cfg(test)]
mod other;
fn c() {
    #[expect(clippy::unwrap_used, reason = \"r\")]
    let d = match e { f => g.unwrap(), };
    h.unwrap()
}
";
    let source = RustSource::parse("crates/x/src/y.rs", text);
    let found = source.find_in_code(".unwrap()");
    assert_eq!(found.iter().map(|at| source.line(*at)).collect::<Vec<_>>(), [1, 9, 10]);
    assert_eq!(found.iter().map(|at| source.is_lifted("unwrap_used", *at)).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(source.test_modules(), ["crates/x/src/y/other"]);
    assert_eq!(source.lines_before_tests(), 6);
    assert_eq!(source.functions().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}
