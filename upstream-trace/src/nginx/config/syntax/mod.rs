//! The grammar of nginx's configuration: words, `;` and blocks. Unknown directives are as good as known ones. A
//! malformed directive ends the file there; what came before it is kept.
//!
//! A file may be written by somebody else than the one who reads it: how much is kept of it is bounded.

mod words;

use words::{Token, Words};

/// A directive with its block, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its name and its arguments, as many as are kept.
    pub(super) words: Vec<String>,
    pub(super) line: u32,
    pub(super) block: Option<Vec<Directive>>,
}

/// Blocks inside of blocks.
const MAX_DEPTH: usize = 64;
/// Words of a directive that are kept.
const MAX_WORDS: usize = 256;
/// Bytes of a word that are kept.
const MAX_WORD: usize = 4_096;

/// Why the rest of a file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Malformed at this line.
    Malformed(u32),
    /// There are more directives than are kept.
    TooMany,
}

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

/// The directives of a file that are wanted by their name, and why its rest was not read. Blocks that are not wanted
/// are left out with all that is in them. `left` is how many may still be kept.
pub(super) fn parse(
    text: &str,
    wanted: impl Fn(&str) -> bool,
    left: &mut usize,
) -> (Vec<Directive>, Option<Stop>) {
    let mut parser = Parser { words: Words::of(text), wanted, left, open: Vec::new(), here: Vec::new() };
    let stop = parser.run().err();
    // What breaks off counts as far as it goes, with the blocks that were open.
    while parser.close().is_some() {}
    (parser.here, stop)
}

/// A block that is open: the directives before it, and the one that it belongs to; `None` if that is not wanted.
type Open = (Vec<Directive>, Option<Directive>);

struct Parser<'a, W> {
    words: Words<'a>,
    wanted: W,
    left: &'a mut usize,
    open: Vec<Open>,
    /// Directives of the innermost block.
    here: Vec<Directive>,
}

impl<W: Fn(&str) -> bool> Parser<'_, W> {
    fn run(&mut self) -> Result<(), Stop> {
        loop {
            match self.next()? {
                Token::Word(name) => self.directive(name)?,
                Token::Close if self.close().is_some() => {}
                Token::Nothing if self.open.is_empty() => return Ok(()),
                _ => return Err(self.malformed()),
            }
        }
    }

    /// A directive, from its name to its `;` or to the beginning of its block.
    fn directive(&mut self, name: String) -> Result<(), Stop> {
        let line = self.words.at;
        let lua = name.ends_with("_by_lua_block");
        let skipped = self.open.last().is_some_and(|(_, owner)| owner.is_none());
        let kept = !skipped && (self.wanted)(&name);
        let mut directive = Directive { words: vec![cut(name)], line, block: None };
        loop {
            match self.next()? {
                Token::Word(word) if kept && directive.words.len() < MAX_WORDS => {
                    directive.words.push(cut(word));
                }
                Token::Word(_) => {}
                Token::End => return if kept { self.keep(directive) } else { Ok(()) },
                Token::Open if lua => {
                    self.words.skip_lua().ok_or(Stop::Malformed(line))?;
                    directive.block = Some(Vec::new());
                    return if kept { self.keep(directive) } else { Ok(()) };
                }
                Token::Open if self.open.len() < MAX_DEPTH => {
                    if kept {
                        self.count()?;
                    }
                    self.open.push((std::mem::take(&mut self.here), kept.then_some(directive)));
                    return Ok(());
                }
                _ => return Err(self.malformed()),
            }
        }
    }

    fn keep(&mut self, directive: Directive) -> Result<(), Stop> {
        self.count()?;
        self.here.push(directive);
        Ok(())
    }

    fn count(&mut self) -> Result<(), Stop> {
        *self.left = self.left.checked_sub(1).ok_or(Stop::TooMany)?;
        Ok(())
    }

    /// Closes the innermost block; `None` if none is open.
    fn close(&mut self) -> Option<()> {
        let (outer, owner) = self.open.pop()?;
        let block = std::mem::replace(&mut self.here, outer);
        self.here.extend(owner.map(|owner| Directive { block: Some(block), ..owner }));
        Some(())
    }

    fn next(&mut self) -> Result<Token, Stop> {
        self.words.next().map_err(|_| self.malformed())
    }

    fn malformed(&self) -> Stop {
        Stop::Malformed(self.words.at)
    }
}

/// A word as long as is kept.
fn cut(mut word: String) -> String {
    if word.len() > MAX_WORD {
        word.truncate(word.floor_char_boundary(MAX_WORD));
        word.shrink_to_fit();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<Directive>, Option<Stop>) {
        super::parse(text, |_| true, &mut 100_000)
    }

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
    fn a_malformed_directive_ends_the_file_and_keeps_what_was_there() {
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
            assert_eq!((shown(&directives).as_str(), wrong), (kept, Some(Stop::Malformed(line))), "{text}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        assert!(matches!(parse(&"a{".repeat(100_000)).1, Some(Stop::Malformed(_))));
        let mut left = 10;
        let (kept, stop) = super::parse(&"a;".repeat(11), |_| true, &mut left);
        assert_eq!((kept.len(), stop, left), (10, Some(Stop::TooMany), 0));
    }

    #[test]
    fn what_is_not_wanted_is_read_over_and_costs_nothing() {
        let text = "map $a $b { a 1; include x; b 2; c_by_lua_block { \"}\" } } a 1 { b; } b;".to_owned();
        let mut left = 2;
        let (kept, stop) = super::parse(&text, |name| name != "map" && name != "b", &mut left);
        assert_eq!((shown(&kept).as_str(), stop, left), ("a|1 []", None, 1));
    }

    #[test]
    fn long_and_many_words_are_cut() {
        let (kept, stop) = parse(&format!("a {} {};", "x".repeat(100_000), "y ".repeat(100_000)));
        assert_eq!((kept[0].words.len(), kept[0].words[1].len(), stop), (MAX_WORDS, MAX_WORD, None));
    }

    #[test]
    fn brackets_of_lua_that_never_end_take_no_time() {
        let text = format!("a_by_lua_block {{ {}", "[[".repeat(1 << 20));
        assert!(parse(&text).1.is_some());
    }

    #[test]
    fn lines_are_counted() {
        let (directives, _) = parse("a;\n\n# x\nb\n c;\n'd\ne' f;\ng;");
        assert_eq!(directives.iter().map(|d| d.line).collect::<Vec<_>>(), [1, 4, 6, 8]);
    }
}
