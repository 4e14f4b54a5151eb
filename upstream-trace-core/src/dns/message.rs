//! Messages of DNS, as far as they tell what became of a question. They come from the network: nothing in them is
//! trusted, and no more is looked at than is there.

/// A, CNAME, AAAA, SRV.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// A name that is longer is no name.
const LONGEST_NAME: usize = 255;
/// Records of an answer that are looked at.
const RECORDS: usize = 128;

/// A question, or an answer to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number of the question.
    pub ident: u16,
    /// It is an answer.
    pub answer: bool,
    /// The flags are those of an answer that nginx takes.
    pub sound: bool,
    /// The answer did not fit.
    pub cut: bool,
    /// Answer code.
    pub code: u8,
    /// The name, without the dot at its end, bytes that do not print escaped; empty if it cannot be read.
    pub name: String,
    /// Type of the question, 0 if it cannot be read.
    pub kind: u16,
    /// Records that answer.
    pub records: u16,
    /// Some of them are of use: addresses, another name, or services. `None` if that cannot be seen.
    pub useful: Option<bool>,
}

/// Reads a message; `None` if it is shorter than a header.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Message> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (ident, flags, questions, records) = (word(0)?, word(2)?, word(4)?, word(6)?);
    word(10)?;
    let mut message = Message {
        ident,
        answer: flags & 0x8000 != 0,
        sound: flags & 0xf870 == 0x8000,
        cut: flags & 0x0200 != 0,
        code: (flags & 0xf) as u8,
        name: String::new(),
        kind: 0,
        records,
        useful: None,
    };
    if questions == 1
        && let Some((name, at)) = name(bytes, 12)
        && let Some(kind) = word(at)
    {
        (message.name, message.kind) = (name, kind);
        message.useful = useful(bytes, at + 4, records, kind);
    }
    Some(message)
}

/// The name of a type, for output.
#[must_use]
pub fn kind_name(kind: u16) -> String {
    match kind {
        A => "A".to_owned(),
        CNAME => "CNAME".to_owned(),
        12 => "PTR".to_owned(),
        AAAA => "AAAA".to_owned(),
        SRV => "SRV".to_owned(),
        other => format!("TYPE{other}"),
    }
}

/// A name that begins there and is not compressed (that of a question never is), and where it ends.
fn name(bytes: &[u8], begin: usize) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), begin);
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1;
        if len == 0 {
            return Some((name, at));
        }
        if len > 63 || at + len - begin > LONGEST_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in bytes.get(at..at + len)? {
            // nginx asks in lower case, and servers may answer in any.
            name.extend(byte.to_ascii_lowercase().escape_ascii().map(char::from));
        }
        at += len;
    }
}

/// Whether some of the records answer a question of that kind.
fn useful(bytes: &[u8], begin: usize, records: u16, kind: u16) -> Option<bool> {
    let mut at = begin;
    for _ in 0..usize::from(records).min(RECORDS) {
        at = skip_name(bytes, at)?;
        let of = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
        if of == kind || of == CNAME {
            return Some(true);
        }
        at += 10 + usize::from(u16::from_be_bytes([*bytes.get(at + 8)?, *bytes.get(at + 9)?]));
    }
    Some(false)
}

fn skip_name(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    loop {
        let len = *bytes.get(at)?;
        if len & 0xc0 != 0 {
            return Some(at + 2);
        }
        at += 1 + usize::from(len);
        if len == 0 {
            return Some(at);
        }
        if at - begin > LONGEST_NAME {
            return None;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The question for the addresses of a name.
    pub(crate) fn question(ident: u16, name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes[..2].copy_from_slice(&ident.to_be_bytes());
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).expect("short"));
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    /// Its answer, with records of these types, four bytes each.
    pub(crate) fn answer(question: &[u8], code: u8, records: &[u8]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        (bytes[2], bytes[3]) = (0x81, 0x80 | code);
        bytes[7] = u8::try_from(records.len()).expect("few");
        for kind in records {
            bytes.extend([0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2]);
        }
        bytes
    }

    #[test]
    fn questions_and_answers() {
        let asks = question(7, "App.lab.test", 1);
        let asked = parse(&asks).expect("a question");
        assert!(!asked.answer && asked.ident == 7 && asked.kind == 1);
        assert_eq!(asked.name, "app.lab.test");
        let found = parse(&answer(&asks, 0, &[1])).expect("an answer");
        assert!(found.answer && found.sound && found.useful == Some(true) && found.code == 0);
        let other = parse(&answer(&asks, 0, &[16, 16])).expect("an answer");
        assert_eq!((other.records, other.useful), (2, Some(false)));
        let none = parse(&answer(&asks, 3, &[])).expect("an answer");
        assert_eq!((none.code, none.records, none.useful), (3, 0, Some(false)));
    }

    #[test]
    fn whatever_comes_is_read_within_its_bounds() {
        let whole = answer(&question(7, "app.lab.test", 28), 0, &[5, 28]);
        for end in 0..whole.len() {
            let _ = parse(&whole[..end]);
        }
        let mut looped = whole.clone();
        looped.truncate(12);
        looped.extend([63; 600]);
        assert_eq!(parse(&looped).expect("a header").name, "");
        let hostile = parse(&question(7, "a\x1b[2Jb", 1)).expect("a question");
        assert_eq!(hostile.name, "a\\x1b[2jb");
        assert_eq!(parse(&[0; 11]), None);
    }
}
