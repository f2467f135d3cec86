//! `%i` and its kin: what a unit file leaves open, filled in.

/// What stands for the specifiers of a unit.
#[derive(Debug, Clone, Default)]
pub(super) struct Specifiers {
    /// With its suffix: `backup@home.service`.
    pub(super) unit: String,
    pub(super) host: Option<String>,
}

/// The parts of a unit's name.
pub(super) struct Name<'a> {
    /// Up to the `@`, or without the suffix.
    pub(super) prefix: &'a str,
    /// What stands between `@` and the suffix, if there is an `@`.
    pub(super) instance: Option<&'a str>,
    /// After the last point.
    pub(super) suffix: &'a str,
}

impl<'a> Name<'a> {
    pub(super) fn of(unit: &'a str) -> Name<'a> {
        let (stem, suffix) = unit.rsplit_once('.').unwrap_or((unit, ""));
        match stem.split_once('@') {
            Some((prefix, instance)) => Name { prefix, instance: Some(instance), suffix },
            None => Name { prefix: stem, instance: None, suffix },
        }
    }

    /// The file that holds what all instances share.
    pub(super) fn template(&self) -> Option<String> {
        self.instance.filter(|instance| !instance.is_empty()).map(|_| format!("{}@.{}", self.prefix, self.suffix))
    }
}

/// Undoes what systemd-escape(1) does to a path or a name.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = text.get(at + 2..at + 4).filter(|_| bytes[at..].starts_with(b"\\x"));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                found.push(code);
                at += 4;
            }
            None => {
                found.push(if *byte == b'-' { b'/' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&found).into_owned()
}

impl Specifiers {
    /// The text with specifiers filled in; those that cannot be known stay as they are, and are named.
    pub(super) fn expand(&self, text: &str, unknown: &mut Vec<String>) -> String {
        let name = Name::of(&self.unit);
        let mut found = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                found.push(letter);
                continue;
            }
            let Some(which) = letters.next() else {
                found.push('%');
                break;
            };
            let stem = self.unit.rsplit_once('.').map_or(self.unit.as_str(), |(stem, _)| stem);
            let last = name.prefix.rsplit('-').next().unwrap_or_default();
            let instance = name.instance.unwrap_or_default();
            let value = match which {
                '%' => Some("%".to_owned()),
                'n' => Some(self.unit.clone()),
                'N' => Some(stem.to_owned()),
                'p' => Some(name.prefix.to_owned()),
                'P' => Some(unescaped(name.prefix)),
                'i' => Some(instance.to_owned()),
                'I' => Some(unescaped(instance)),
                'j' => Some(last.to_owned()),
                'J' => Some(unescaped(last)),
                'f' => Some(format!("/{}", unescaped(name.instance.unwrap_or(name.prefix)).trim_start_matches('/'))),
                'H' => self.host.clone(),
                'l' => self.host.as_ref().map(|host| host.split('.').next().unwrap_or_default().to_owned()),
                // Those of the system's manager.
                't' => Some("/run".to_owned()),
                'S' => Some("/var/lib".to_owned()),
                'C' => Some("/var/cache".to_owned()),
                'L' => Some("/var/log".to_owned()),
                'E' => Some("/etc".to_owned()),
                'T' => Some("/tmp".to_owned()),
                'V' => Some("/var/tmp".to_owned()),
                'h' => Some("/root".to_owned()),
                's' => Some("/bin/sh".to_owned()),
                'u' | 'g' => Some("root".to_owned()),
                'U' | 'G' => Some("0".to_owned()),
                _ => None,
            };
            match value {
                Some(value) => found.push_str(&value),
                None => {
                    let which = format!("%{which}");
                    found.push_str(&which);
                    if which.is_ascii() && !unknown.contains(&which) {
                        unknown.push(which);
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_filled_in() {
        let at = Specifiers { unit: "my-backup@srv-data\\x2dold.service".to_owned(), host: Some("box.example.com".to_owned()) };
        let rows = [
            ("%i", "srv-data\\x2dold"),
            ("%I", "srv/data-old"),
            ("%f", "/srv/data-old"),
            ("%n", "my-backup@srv-data\\x2dold.service"),
            ("%N", "my-backup@srv-data\\x2dold"),
            ("%p %P %j", "my-backup my/backup backup"),
            ("%H %l", "box.example.com box"),
            ("100%% %C/x", "100% /var/cache/x"),
            ("%m 5%", "%m 5%"),
        ];
        for (text, expected) in rows {
            assert_eq!(at.expand(text, &mut Vec::new()), expected, "{text}");
        }
        let mut unknown = Vec::new();
        at.expand("%m %b %m", &mut unknown);
        assert_eq!(unknown, ["%m", "%b"]);
    }
}
