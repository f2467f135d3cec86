//! Command lines as systemd reads them: words, quotes, escapes, prefixes and variables, and no shell.

use std::collections::BTreeMap;

/// One command of an `ExecStart=` or its kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// `-`: its failure does not count.
    pub(super) may_fail: bool,
    /// `+`, `!`, `!!`: as root, whatever the unit says.
    pub(super) is_privileged: bool,
    /// `:`: variables stay as they are.
    pub(super) is_literal: bool,
    /// `@`: the second word is the name that the program finds.
    pub(super) named: bool,
}

/// A word, and whether all of it was written without quotes and escapes.
struct Word {
    text: String,
    is_plain: bool,
}

const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

/// The commands of a value, parted by `;` as a word of its own.
pub(super) fn lines(value: &str) -> Result<Vec<Line>, &'static str> {
    let mut lines = Vec::new();
    let mut words = Vec::new();
    for word in split(value)? {
        if word.is_plain && word.text == ";" {
            lines.extend(line(std::mem::take(&mut words))?);
        } else {
            words.push(word.text);
        }
    }
    lines.extend(line(words)?);
    Ok(lines)
}

fn line(mut words: Vec<String>) -> Result<Option<Line>, &'static str> {
    if words.is_empty() {
        return Ok(None);
    }
    let first = words.remove(0);
    let program = first.trim_start_matches(['-', '@', ':', '+', '!']);
    let prefix = &first[..first.len() - program.len()];
    let has = |sign: char| prefix.contains(sign);
    if program.is_empty() {
        return Err("there is no program in it");
    }
    if program.contains('/') && !program.starts_with('/') {
        return Err("the program's path is not absolute");
    }
    let named = has('@');
    if named {
        if words.is_empty() {
            return Err("after `@` a second word is wanted, the name that the program finds");
        }
        words.remove(0);
    }
    Ok(Some(Line {
        program: program.to_owned(),
        args: words,
        may_fail: has('-'),
        is_privileged: has('+') || has('!'),
        is_literal: has(':'),
        named,
    }))
}

/// The words of a value, without their quotes and escapes.
pub(super) fn words(value: &str) -> Result<Vec<String>, &'static str> {
    Ok(split(value)?.into_iter().map(|word| word.text).collect())
}

fn split(value: &str) -> Result<Vec<Word>, &'static str> {
    let mut found = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(SPACES);
        if rest.is_empty() {
            return Ok(found);
        }
        let (word, end) = word(rest)?;
        found.push(word);
        rest = end;
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> Result<(Word, &str), &'static str> {
    let mut found: Vec<u8> = Vec::new();
    let mut is_plain = true;
    let mut quote = None;
    let mut letters = text.char_indices();
    let mut end = text.len();
    let put = |found: &mut Vec<u8>, letter: char| found.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some((place, letter)) = letters.next() {
        match (letter, quote) {
            ('\\', _) => {
                is_plain = false;
                let length = escape(&text[place + 1..], &mut found);
                for _ in 0..length {
                    letters.next();
                }
            }
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                is_plain = false;
                quote = Some(letter);
            }
            (letter, None) if SPACES.contains(&letter) => {
                end = place;
                break;
            }
            (letter, _) => put(&mut found, letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    let text_found = String::from_utf8_lossy(&found).into_owned();
    Ok((Word { text: text_found, is_plain }, &text[end..]))
}

/// Takes what follows a backslash, and says how many characters that were. What is no escape stays, with its backslash.
fn escape(text: &str, found: &mut Vec<u8>) -> usize {
    let simple = |byte: u8, found: &mut Vec<u8>| {
        found.push(byte);
        1
    };
    let number = |from: usize, digits: usize, radix: u32| {
        let code = text.get(from..from + digits).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        code.and_then(|code| u32::from_str_radix(code, radix).ok())
    };
    let letter = text.chars().next();
    match letter {
        Some('a') => simple(7, found),
        Some('b') => simple(8, found),
        Some('f') => simple(12, found),
        Some('n') => simple(b'\n', found),
        Some('r') => simple(b'\r', found),
        Some('t') => simple(b'\t', found),
        Some('v') => simple(11, found),
        Some('s') => simple(b' ', found),
        Some(sign @ ('\\' | '"' | '\'' | ';')) => simple(sign as u8, found),
        Some('x') if number(1, 2, 16).is_some() => {
            found.push(number(1, 2, 16).unwrap_or_default() as u8);
            3
        }
        Some('u' | 'U') => {
            let digits = if letter == Some('u') { 4 } else { 8 };
            match number(1, digits, 16).and_then(char::from_u32) {
                Some(code) => {
                    found.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                    digits + 1
                }
                None => {
                    found.push(b'\\');
                    0
                }
            }
        }
        Some('0'..='3') if number(0, 3, 8).is_some() => {
            found.push(number(0, 3, 8).unwrap_or_default() as u8);
            3
        }
        _ => {
            found.push(b'\\');
            0
        }
    }
}

/// The variables that a command finds.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(pub(super) BTreeMap<String, String>);

/// What a process may be given, in bytes: more than systems take.
const LONGEST_ARGS: usize = 4 << 20;

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `$NAME` as a word of its own becomes the words of its value, none if it is not set; `${NAME}` becomes the value. `None` if no
    /// system would take so much.
    pub(super) fn expand(&self, args: &[String]) -> Option<Vec<String>> {
        let mut found = Vec::new();
        let (mut counted, mut length) = (0, 0);
        for arg in args {
            length += found[counted..].iter().map(String::len).sum::<usize>();
            counted = found.len();
            if length > LONGEST_ARGS {
                return None;
            }
            match arg.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
                Some(name) => {
                    let value = self.get(name).unwrap_or_default();
                    // A quote that is not closed is taken as it stands.
                    found.extend(words(value).unwrap_or_else(|_| value.split(SPACES).map(str::to_owned).collect()));
                }
                None => found.push(self.within(arg)?),
            }
        }
        Some(found)
    }

    fn within(&self, text: &str) -> Option<String> {
        let mut found = String::new();
        let mut rest = text;
        while let Some(place) = rest.find('$') {
            found.push_str(&rest[..place]);
            if found.len() > LONGEST_ARGS {
                return None;
            }
            let after = &rest[place + 1..];
            match (after.strip_prefix('$'), after.strip_prefix('{').and_then(|name| name.split_once('}'))) {
                (Some(after), _) => {
                    found.push('$');
                    rest = after;
                }
                (None, Some((name, after))) => {
                    found.push_str(self.get(name).unwrap_or_default());
                    rest = after;
                }
                (None, None) => {
                    found.push('$');
                    rest = after;
                }
            }
        }
        found.push_str(rest);
        Some(found)
    }

    /// Reads an environment file: `NAME=value` in lines, with quotes as a shell has them, and nothing replaced in them.
    pub(super) fn read(&mut self, text: &str) {
        let joined = text.replace("\\\r\n", "").replace("\\\n", "");
        for line in joined.lines() {
            let line = line.trim();
            if line.starts_with(['#', ';']) {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            let name = name.trim_end();
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if is_name && !name.starts_with(|first: char| first.is_ascii_digit()) {
                self.set(name, unquoted(value.trim_start()));
            }
        }
    }
}

/// A value of an environment file without its quotes.
fn unquoted(value: &str) -> String {
    let mut found = String::new();
    let mut quote = None;
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            ('\\', Some('"')) => match letters.next() {
                Some(next @ ('"' | '\\' | '`' | '$')) => found.push(next),
                Some(next) => found.extend(['\\', next]),
                None => found.push('\\'),
            },
            ('\\', None) => found.extend(letters.next()),
            (letter, _) => found.push(letter),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        match lines(value) {
            Ok(lines) => {
                let one = |line: &Line| {
                    std::iter::once(&line.program).chain(&line.args).map(|word| format!("<{word}>")).collect::<String>()
                };
                lines.iter().map(one).collect::<Vec<_>>().join(" ; ")
            }
            Err(error) => format!("refused: {error}"),
        }
    }

    #[test]
    fn words_are_what_systemd_makes_of_them() {
        // Of systemd.service(5) and of what packages ship.
        let rows = [
            (r#"/bin/echo one "two two" 'three "3"'"#, r#"</bin/echo><one><two two><three "3">"#),
            ("echo one ; echo \"two two\"", "<echo><one> ; <echo><two two>"),
            (r"find / -exec rm {} \;", "<find></><-exec><rm><{}><;>"),
            (r#"echo a\tb\x41\101\s"\"c\"" \q"#, "<echo><a\tbAA \"c\"><\\q>"),
            (r#"/bin/sh -c 'a "b" $$HOME' x"y"z"#, r#"</bin/sh><-c><a "b" $$HOME><xyz>"#),
            ("-@!/bin/sleep nap 5", "</bin/sleep><5>"),
            ("\"\" x", "refused: there is no program in it"),
            ("bin/x", "refused: the program's path is not absolute"),
            ("/bin/x 'y", "refused: a quote is not closed"),
            ("/bin/x ''", "</bin/x><>"),
        ];
        for (value, expected) in rows {
            assert_eq!(shown(value), expected, "{value}");
        }
        let line = lines("+-:/bin/x a").unwrap().remove(0);
        assert!(line.is_privileged && line.may_fail && line.is_literal && !line.named);
    }

    #[test]
    fn variables_are_filled_in() {
        let mut variables = Variables::default();
        variables.read("# x\nONE='one'\nTWO='two two'\nTHREE=\"a \\\"b\\\" \\n\"\nFOUR=x\\\ny # z\n1BAD=2\n EMPTY=\n");
        let said: Vec<(&str, &str)> = variables.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(said, [("EMPTY", ""), ("FOUR", "xy # z"), ("ONE", "one"), ("THREE", "a \"b\" \\n"), ("TWO", "two two")]);
        let expand = |args: &[&str]| variables.expand(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()).unwrap();
        // systemd.service(5), "Command lines".
        assert_eq!(expand(&["$ONE", "$TWO", "${TWO}"]), ["one", "two", "two", "two two"]);
        assert_eq!(expand(&["$NONE", "x${NONE}y", "$$ONE", "a$ONE", "${", "$EMPTY", ""]), ["xy", "$ONE", "a$ONE", "${", ""]);
    }
}
