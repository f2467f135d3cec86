//! Commands as lines: what is shown is, by the rules of sh, what was meant; and the commands of crontab lines.

use punctual::{Command, Input, Output};

use super::Fate;

/// Parts, separated by NUL: `=NAME=VALUE` is a variable, `/DIR` the directory, `<FILE` and `>FILE` input and output; other parts
/// are the program and its arguments.
pub fn command(bytes: &[u8]) -> Result<Fate, String> {
    let text = String::from_utf8_lossy(bytes);
    crontab_line(&text)?;
    let (mut words, mut variables, mut dir, mut input, mut output) = (Vec::new(), Vec::new(), None, None, None);
    for part in text.split('\0') {
        match part.split_at_checked(1) {
            Some(("=", variable)) if variable.find('=').is_some_and(|at| at > 0) => variables.extend(variable.split_once('=')),
            Some(("/", path)) if !path.is_empty() => dir = Some(path),
            Some(("<", path)) if !path.is_empty() => input = Some(path),
            Some((">", path)) if !path.is_empty() => output = Some(path),
            _ => words.push(part),
        }
    }
    let Some((program, args)) = words.split_first() else { return Ok(Fate::Refused) };
    let mut command = Command::new(program).args(args);
    command = variables.iter().fold(command, |command, (name, value)| command.env(name, value));
    let mut meant: Vec<String> = Vec::new();
    if let Some(dir) = dir {
        command = command.dir(dir);
        meant.extend(["cd", dir, "&&"].map(str::to_owned));
    }
    meant.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    meant.extend(words.iter().map(|word| (*word).to_owned()));
    if let Some(path) = input {
        command = command.stdin(Input::File(path.into()));
        meant.extend(["<".to_owned(), path.to_owned()]);
    }
    if let Some(path) = output {
        command = command.stdout(Output::Append(path.into()));
        meant.extend([">>".to_owned(), path.to_owned()]);
    }
    // With a name that no shell takes, variables are given to env(1), and nothing keeps that from taking a program for one.
    let has_env = variables.iter().any(|(name, _)| !is_name(name));
    if has_env {
        if program.contains('=') {
            return Ok(Fate::Refused);
        }
        let place = if dir.is_some() { 3 } else { 0 };
        meant.insert(place, "env".to_owned());
    }
    let shown = command.to_string();
    let found = self::words(&shown).map_err(|wrong| format!("{wrong}: {shown}"))?;
    if found == meant { Ok(Fate::Taken) } else { Err(format!("{meant:?} is shown as {shown}, which is {found:?}")) }
}

/// The words and operators of a simple line, as sh reads them (POSIX.1-2017, Shell Command Language, 2.2 and 2.3); an error if
/// sh would do more with it than take words.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut letters = line.chars().peekable();
    // Whether the next word is where a command begins: an assignment or a reserved word is none.
    let mut begins = true;
    loop {
        while letters.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
        let Some(&first) = letters.peek() else { return Ok(found) };
        if matches!(first, '&' | '<' | '>') {
            let mut operator = String::new();
            while let Some(letter) = letters.next_if(|letter| *letter == first) {
                operator.push(letter);
            }
            if !["&&", "<", ">", ">>"].contains(&operator.as_str()) {
                return Err(format!("{operator} is another operator"));
            }
            begins = operator == "&&";
            found.push(operator);
            continue;
        }
        let (mut word, mut plain) = (String::new(), String::new());
        let mut is_quoted = false;
        while let Some(&letter) = letters.peek() {
            match letter {
                ' ' | '\t' | '&' | '<' | '>' => break,
                '\'' => {
                    is_quoted = true;
                    letters.next();
                    loop {
                        match letters.next() {
                            Some('\'') => break,
                            Some(letter) => word.push(letter),
                            None => return Err("a quote is not closed".to_owned()),
                        }
                    }
                    continue;
                }
                '\\' => {
                    is_quoted = true;
                    letters.next();
                    word.extend(letters.peek());
                }
                '\n' | '|' | ';' | '(' | ')' | '$' | '`' | '"' | '*' | '?' | '[' | '#' | '~' | '!' | '{' | '}' => {
                    return Err(format!("{letter:?} means something to a shell"));
                }
                letter => {
                    word.push(letter);
                    plain.push(letter);
                }
            }
            letters.next();
        }
        if begins && !is_quoted && RESERVED.contains(&word.as_str()) {
            return Err(format!("`{word}` is a word of the shell's own"));
        }
        // Up to the first that is none, words are assignments if a name and `=` begin them without quotes.
        let name = plain.split_once('=').map(|(name, _)| name).filter(|name| word.starts_with(&format!("{name}=")));
        begins = begins && name.is_some_and(is_name);
        found.push(word);
    }
}

const RESERVED: [&str; 13] = ["case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while"];

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The command of a crontab line, by `child_process` in do_command.c: first the line, up to a `%`, then its input.
fn crontab_line(text: &str) -> Result<(), String> {
    let (mut line, mut input) = (Vec::new(), Vec::new());
    let bytes = text.as_bytes();
    let (mut at, mut escaped) = (0, false);
    while let Some(&byte) = bytes.get(at).filter(|byte| escaped || **byte != b'%') {
        if escaped && byte == b'%' {
            line.pop();
        }
        line.push(byte);
        escaped = byte == b'\\' && !escaped;
        at += 1;
    }
    escaped = false;
    for &byte in bytes.get(at + 1..).unwrap_or_default() {
        match byte {
            b'%' if escaped => drop(std::mem::replace(input.last_mut().expect("a backslash"), b'%')),
            b'%' => input.push(b'\n'),
            byte => input.push(byte),
        }
        escaped = byte == b'\\';
    }
    if !input.is_empty() && !input.ends_with(b"\n") {
        input.push(b'\n');
    }
    let said = String::from_utf8(line).map_err(|error| error.to_string())?;
    let meant = Command::shell(said);
    let meant = if input.is_empty() { meant } else { meant.stdin(Input::Bytes(input)) };
    let found = Command::crontab_line(text);
    if found == meant { Ok(()) } else { Err(format!("{found:?} is meant to be {meant:?}")) }
}
