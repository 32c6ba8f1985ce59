//! The words of JSON (RFC 8259), one after another, each with its offset.
//!
//! Items need no tree of JSON values between the text and them, numbers are wanted as they are written, and errors need
//! a place: so this rather than a library's deserializer.

use std::borrow::Cow;

use super::error::Fault;

/// Where and why text is refused.
type Refused = (usize, Fault);

/// A value that holds no others.
pub(super) enum Scalar<'t> {
    Text(Cow<'t, str>),
    /// An integer, as it is written.
    Number(&'t str),
    Truth(bool),
    Null,
}

pub(super) struct Lexer<'t> {
    text: &'t str,
    /// Where the next word begins: white space is passed over after each.
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut lexer = Self { text, at: 0 };
        lexer.pass_space();
        lexer
    }

    /// The offset of the next word.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Whether a sign comes next; if so, passes it.
    pub(super) fn take(&mut self, sign: u8) -> bool {
        let there = self.peek() == Some(sign);
        if there {
            self.at += 1;
            self.pass_space();
        }
        there
    }

    /// Passes a sign that must come next.
    pub(super) fn expect(&mut self, sign: u8, otherwise: &'static str) -> Result<(), Refused> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(self.refuse(otherwise)),
        }
    }

    /// A string, and where it begins.
    pub(super) fn string(&mut self) -> Result<(usize, Cow<'t, str>), Refused> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.refuse("a string is expected"));
        }
        self.at += 1;
        let plain = self.plain()?;
        let mut string = Cow::Borrowed(plain);
        while self.peek() == Some(b'\\') {
            let escaped = self.escaped()?;
            let string = string.to_mut();
            string.push(escaped);
            string.push_str(self.plain()?);
        }
        self.at += 1;
        self.pass_space();
        Ok((start, string))
    }

    /// A value that is neither a list nor an object.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'t>, Refused> {
        let words = [
            ("true", Scalar::Truth(true)),
            ("false", Scalar::Truth(false)),
            ("null", Scalar::Null),
        ];
        match self.peek() {
            Some(b'"') => return self.string().map(|(_, text)| Scalar::Text(text)),
            Some(b'-' | b'0'..=b'9') => return self.number(),
            _ => {}
        }
        for (word, scalar) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                self.end_of_word()?;
                return Ok(scalar);
            }
        }
        Err(self.refuse("a value is expected: a list of items, a string, a number, true or false"))
    }

    /// An integer. KMIP has no other numbers.
    fn number(&mut self) -> Result<Scalar<'t>, Refused> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let digits = &self.text.as_bytes()[self.at..];
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length == 0 || (length > 1 && digits[0] == b'0') {
            return Err((
                start,
                Fault::Syntax("a number begins with another digit than 0, unless it is 0"),
            ));
        }
        self.at += length;
        let number = Scalar::Number(&self.text[start..self.at]);
        self.end_of_word()?;
        Ok(number)
    }

    /// Makes sure that a word ends here.
    fn end_of_word(&mut self) -> Result<(), Refused> {
        let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        if self.peek().is_some_and(goes_on) {
            return Err(
                self.refuse("a value ends with a digit or a letter too many; numbers are whole")
            );
        }
        self.pass_space();
        Ok(())
    }

    /// What stands in a string up to its end or to the next escape.
    fn plain(&mut self) -> Result<&'t str, Refused> {
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err((self.at, Fault::Truncated)),
                Some(b'"' | b'\\') => return Ok(&self.text[start..self.at]),
                Some(0..=0x1f) => {
                    return Err(self.refuse("a control character in a string has to be escaped"));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// The character of an escape that begins here.
    fn escaped(&mut self) -> Result<char, Refused> {
        let start = self.at;
        self.at += 1;
        let sign = self.peek().ok_or((self.at, Fault::Truncated))?;
        self.at += 1;
        let character = match sign {
            b'"' | b'\\' | b'/' => char::from(sign),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(start),
            _ => {
                return Err((
                    start,
                    Fault::Syntax("no escape in a string is written like this"),
                ));
            }
        };
        Ok(character)
    }

    /// The character of `\u` and four digits; those beyond the first 65,536 are two of them.
    fn unicode(&mut self, start: usize) -> Result<char, Refused> {
        let wrong = (
            start,
            Fault::Syntax("\\u needs four hexadecimal digits, and a surrogate its other half"),
        );
        let first = self.four_digits().ok_or_else(|| wrong.clone())?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(wrong);
                }
                self.at += 2;
                let second = self
                    .four_digits()
                    .filter(|second| (0xdc00..=0xdfff).contains(second));
                let second = second.ok_or_else(|| wrong.clone())?;
                0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00))
            }
            _ => first,
        };
        char::from_u32(code).ok_or(wrong)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// An error where the next word begins, or at the end where there is none.
    fn refuse(&self, what: &'static str) -> Refused {
        match self.at_end() {
            true => (self.at, Fault::Truncated),
            false => (self.at, Fault::Syntax(what)),
        }
    }
}
