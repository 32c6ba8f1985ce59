//! Rust text as a list of words and signs, without comments and literals: enough to see paths, modules and structs.

/// A word or a sign of Rust code and the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Splits code into tokens. Comments vanish; a string or character literal becomes the token `""`.
pub(crate) fn tokens(code: &str) -> Vec<Token> {
    let mut reader = Reader {
        rest: code,
        line: 1,
    };
    let mut found = Vec::new();
    while let Some((text, line)) = reader.next_token() {
        found.push(Token { text, line });
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn take(&mut self, bytes: usize) -> String {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken.to_owned()
    }

    fn next_token(&mut self) -> Option<(String, usize)> {
        loop {
            let first = self.rest.chars().next()?;
            let line = self.line;
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("/*") {
                let end = block_comment(self.rest);
                self.take(end);
            } else if let Some(end) = literal(self.rest) {
                self.take(end);
                return Some((r#""""#.to_owned(), line));
            } else if first.is_whitespace() {
                self.take(first.len_utf8());
            } else if is_word(first) {
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                return Some((self.take(end), line));
            } else {
                let double = ["::", "->", "=>"]
                    .iter()
                    .any(|sign| self.rest.starts_with(sign));
                return Some((self.take(if double { 2 } else { first.len_utf8() }), line));
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the literal that `text` begins with, if it begins with one. A lifetime is none.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "b", "cr", "c", "r", ""].iter().find(|prefix| {
        let rest = text.strip_prefix(**prefix);
        rest.is_some_and(|rest| rest.starts_with(['"', '\'']) || raw_marks(rest).is_some())
    })?;
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let marks = raw_marks(rest)?;
        let end = format!("\"{}", "#".repeat(marks));
        let body = &rest[marks + 1..];
        return Some(
            text.len() - body.len() + body.find(&end).map_or(body.len(), |at| at + end.len()),
        );
    }
    let quote = rest.chars().next()?;
    if quote == '\'' && !is_character(rest) {
        return None;
    }
    if quote == '#' {
        return None;
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(prefix.len() + at + c.len_utf8()),
            _ => {}
        }
    }
    Some(text.len())
}

/// How many `#` stand between the `r` of a raw string and its quote.
fn raw_marks(rest: &str) -> Option<usize> {
    let marks = rest.bytes().take_while(|byte| *byte == b'#').count();
    rest[marks..].starts_with('"').then_some(marks)
}

/// Whether a text that begins with a single quote begins with a character rather than a lifetime.
fn is_character(text: &str) -> bool {
    let mut following = text.chars().skip(1);
    match (following.next(), following.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => true,
        (_, _) => false,
    }
}

#[test]
fn comments_and_literals_vanish_and_lines_are_kept() {
    let code = "use a::b; // crate::x\n/* crate::y /* nested */ */ let c = 'c'; let l: &'static str =\n\
                r#\"crate::\"z\"\"#; f(\"\\\"crate::w\", b'\\'', b\"x\") -> r";
    let found = tokens(code);
    assert!(
        !found.iter().any(|token| token.text == "crate"),
        "{found:?}"
    );
    let line_of = |word: &str| {
        found
            .iter()
            .find(|token| token.text == word)
            .map(|token| token.line)
    };
    assert_eq!(
        (line_of("b"), line_of("static"), line_of("f"), line_of("->")),
        (Some(1), Some(2), Some(3), Some(3))
    );
    assert_eq!(found.iter().filter(|token| token.text == "\"\"").count(), 5);
}
