//! The words, `;` and braces of a file.

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
    /// End of file.
    Nothing,
}

/// A word that never ends.
pub(super) struct Unfinished;

pub(super) struct Words<'a> {
    rest: &'a str,
    /// Line at which the next token begins, from 1.
    pub(super) line: u32,
    /// Line at which the last token began.
    pub(super) at: u32,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: text, line: 1, at: 1 }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Result<Token, Unfinished> {
        loop {
            self.at = self.line;
            match self.peek() {
                None => return Ok(Token::Nothing),
                Some(c) if c.is_ascii_whitespace() => drop(self.bump()),
                Some('#') => while self.bump().is_some_and(|c| c != '\n') {},
                Some(c @ (';' | '{' | '}')) => {
                    self.bump();
                    return Ok(match c {
                        ';' => Token::End,
                        '{' => Token::Open,
                        _ => Token::Close,
                    });
                }
                Some(quote @ ('"' | '\'')) => {
                    self.bump();
                    return self.quoted(quote).map(Token::Word);
                }
                Some(_) => return Ok(Token::Word(self.plain())),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Unfinished> {
        let mut word = String::new();
        loop {
            match self.bump().ok_or(Unfinished)? {
                '\\' => escaped(self.bump().ok_or(Unfinished)?, &mut word),
                c if c == quote => return Ok(word),
                c => word.push(c),
            }
        }
    }

    /// Up to a blank, `;` or `{`. A brace after a dollar belongs to the name of a variable.
    fn plain(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            let variable = c == '{' && word.ends_with('$');
            if c.is_ascii_whitespace() || c == ';' || (c == '{' && !variable) {
                break;
            }
            self.bump();
            match c {
                '\\' => match self.bump() {
                    Some(next) => escaped(next, &mut word),
                    None => word.push(c),
                },
                c => word.push(c),
            }
        }
        word
    }

    /// To the end of a block of Lua, whose braces may stand in strings and comments.
    pub(super) fn skip_lua(&mut self) -> Option<()> {
        let mut depth = 1;
        while depth > 0 {
            match self.bump()? {
                '{' => depth += 1,
                '}' => depth -= 1,
                quote @ ('"' | '\'') => loop {
                    match self.bump()? {
                        '\\' => drop(self.bump()?),
                        c if c == quote => break,
                        _ => {}
                    }
                },
                '-' if self.rest.starts_with('-') => {
                    self.bump();
                    if !self.skip_long()? {
                        while self.bump()? != '\n' {}
                    }
                }
                '[' => {
                    self.rest_of_long()?;
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Skips a long bracket that begins here, `[[ ... ]]` or `[==[ ... ]==]`. False if there is none, `None` if it never
    /// ends.
    fn skip_long(&mut self) -> Option<bool> {
        let Some(rest) = self.rest.strip_prefix('[') else { return Some(false) };
        let before = std::mem::replace(&mut self.rest, rest);
        let found = self.rest_of_long()?;
        if !found {
            self.rest = before;
        }
        Some(found)
    }

    /// The same after its first bracket.
    fn rest_of_long(&mut self) -> Option<bool> {
        let level = self.rest.len() - self.rest.trim_start_matches('=').len();
        if !self.rest[level..].starts_with('[') {
            return Some(false);
        }
        let close = format!("]{}]", "=".repeat(level));
        let end = self.rest.find(&close)? + close.len();
        self.line += u32::try_from(self.rest[..end].matches('\n').count()).unwrap_or(0);
        self.rest = &self.rest[end..];
        Some(true)
    }
}

/// The character after a backslash.
fn escaped(c: char, word: &mut String) {
    match c {
        '"' | '\'' | '\\' => word.push(c),
        't' => word.push('\t'),
        'r' => word.push('\r'),
        'n' => word.push('\n'),
        other => word.extend(['\\', other]),
    }
}
