//! The grammar of nginx's configuration: words, `;` and blocks. Unknown directives are as good as known ones, and what
//! makes no sense ends the file there: what came before it is kept.

/// A directive with its block, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) words: Vec<String>,
    pub(super) line: u32,
    pub(super) block: Option<Vec<Directive>>,
}

/// Blocks inside of blocks.
const DEEPEST: usize = 64;
/// Directives of one file.
const MOST: usize = 200_000;

impl Directive {
    /// Its name; never empty, since there is no directive without a word.
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// What follows the name.
    pub(super) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The first argument.
    pub(super) fn argument(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }
}

/// What a file says, and the line at which it stops making sense.
pub(super) fn parse(text: &str) -> (Vec<Directive>, Option<u32>) {
    let mut words = Words { rest: text, line: 1, at: 1 };
    // Blocks that are open, the outermost first: each with the directive that it belongs to.
    let mut open: Vec<(Vec<Directive>, Directive)> = Vec::new();
    let mut here = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let mut line = 1;
    let mut count = 0;
    let mut wrong = None;
    loop {
        let Ok(token) = words.next() else {
            wrong = Some(words.at);
            break;
        };
        match token {
            Token::Word(word) => {
                if current.is_empty() {
                    line = words.at;
                }
                current.push(word);
            }
            Token::End if !current.is_empty() => {
                here.push(Directive { words: std::mem::take(&mut current), line, block: None });
            }
            Token::Open if !current.is_empty() && open.len() < DEEPEST => {
                let owner = Directive { words: std::mem::take(&mut current), line, block: None };
                if owner.name().ends_with("_by_lua_block") {
                    if words.skip_lua().is_none() {
                        wrong = Some(line);
                        break;
                    }
                    here.push(Directive { block: Some(Vec::new()), ..owner });
                } else {
                    open.push((std::mem::take(&mut here), owner));
                }
            }
            Token::Close if current.is_empty() => {
                let Some((outer, owner)) = open.pop() else {
                    wrong = Some(words.at);
                    break;
                };
                let block = std::mem::replace(&mut here, outer);
                here.push(Directive { block: Some(block), ..owner });
            }
            Token::Nothing if current.is_empty() && open.is_empty() => break,
            _ => {
                wrong = Some(words.at);
                break;
            }
        }
        count += 1;
        if count > MOST {
            wrong = Some(words.line);
            break;
        }
    }
    // Of what breaks off, the blocks that were open count as far as they go.
    while let Some((outer, owner)) = open.pop() {
        let block = std::mem::replace(&mut here, outer);
        here.push(Directive { block: Some(block), ..owner });
    }
    (here, wrong)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
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
struct Unfinished;

struct Words<'a> {
    rest: &'a str,
    line: u32,
    /// Line at which the last token began.
    at: u32,
}

impl Words<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Result<Token, Unfinished> {
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
    fn skip_lua(&mut self) -> Option<()> {
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
                    if self.skip_long().is_none() {
                        while self.bump()? != '\n' {}
                    }
                }
                '[' => {
                    self.rest_of_long();
                }
                _ => {}
            }
        }
        Some(())
    }

    /// A long bracket that begins here: `[[ ... ]]` or `[==[ ... ]==]`.
    fn skip_long(&mut self) -> Option<()> {
        self.peek().filter(|c| *c == '[')?;
        let before = (self.rest, self.line);
        self.bump();
        let found = self.rest_of_long();
        if found.is_none() {
            (self.rest, self.line) = before;
        }
        found
    }

    /// The same after its first bracket.
    fn rest_of_long(&mut self) -> Option<()> {
        let level = self.rest.len() - self.rest.trim_start_matches('=').len();
        if !self.rest[level..].starts_with('[') {
            return None;
        }
        let close = format!("]{}]", "=".repeat(level));
        let end = self.rest.find(&close)? + close.len();
        self.line += u32::try_from(self.rest[..end].matches('\n').count()).unwrap_or(0);
        self.rest = &self.rest[end..];
        Some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The directives in one line, blocks in brackets.
    fn shown(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let block =
                directive.block.as_ref().map(|block| format!(" [{}]", shown(block))).unwrap_or_default();
            format!("{}{block}", directive.words.join("|"))
        };
        directives.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        let (directives, wrong) = parse(text);
        assert_eq!((shown(&directives).as_str(), wrong), (expected, None), "{text}");
    }

    #[test]
    fn words_blocks_and_comments() {
        reads("user  www;# x;\nevents{ worker_connections 1; }", "user|www events [worker_connections|1]");
        reads("http{server{listen 80;}}", "http [server [listen|80]]");
        reads("a { }\n b;", "a [] b");
        reads("", "");
        reads("# only a comment", "");
    }

    #[test]
    fn quotes_and_escapes() {
        reads(r#"log_format a '$x "$y" \'z\'';"#, r#"log_format|a|$x "$y" 'z'"#);
        reads(r#"a "b;{}#" 'c"d';"#, r#"a|b;{}#|c"d"#);
        reads(r"rewrite ^/a\.b(.*)$ /c;", r"rewrite|^/a\.b(.*)$|/c");
        reads(r"a b\;c;", r"a|b\;c");
        reads("a b#c;", "a|b#c");
        reads("set $x ${y}z;", "set|$x|${y}z");
        reads("location ~ \"^/[a-z]{2}/\" { return 204; }", "location|~|^/[a-z]{2}/ [return|204]");
    }

    #[test]
    fn lua_is_skipped() {
        let lua = "content_by_lua_block { local s = \"}\" -- } it's\n --[[ } ]] local t = {[1]='\\'}'} x = [==[ ]] } ]==] y = t[s] }";
        reads(&format!("a; {lua} b;"), "a content_by_lua_block [] b");
    }

    #[test]
    fn what_makes_no_sense_ends_the_file_and_keeps_what_was_there() {
        for (text, kept, line) in [
            ("a;\nb }", "a", 2),
            ("a;\n}", "a", 2),
            ("a {\n b;\n", "a [b]", 3),
            ("a;\nb \"c", "a", 2),
            ("a;\n{ }", "a", 2),
            ("a; ;", "a", 1),
            ("a; b", "a", 1),
            ("x_by_lua_block { \"", "", 1),
        ] {
            let (directives, wrong) = parse(text);
            assert_eq!((shown(&directives).as_str(), wrong), (kept, Some(line)), "{text}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        assert!(parse(&"a{".repeat(100_000)).1.is_some());
        assert!(parse(&"a;".repeat(MOST)).1.is_some());
        assert_eq!(parse(&"a;".repeat(1_000)).0.len(), 1_000);
    }

    #[test]
    fn lines_are_counted() {
        let (directives, _) = parse("a;\n\n# x\nb\n c;\n'd\ne' f;\ng;");
        assert_eq!(directives.iter().map(|d| d.line).collect::<Vec<_>>(), [1, 4, 6, 8]);
    }
}
