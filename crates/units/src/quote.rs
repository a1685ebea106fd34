//! Values in the syntax of each kind of file.
//!
//! `site` has refused control characters, line ends and backslashes before anything comes here, so what is left to care
//! for is what each format gives a meaning to: blanks, quotes, `%`, `$`.

/// A word of a list or a command in a unit file: specifiers off, and quotes where blanks need them.
pub(crate) fn unit_word(text: &str) -> String {
    let text = text.replace('%', "%%");
    if text.chars().all(|c| c.is_alphanumeric() || "/._-+=:@%,~".contains(c)) {
        return text;
    }
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// The same in `ExecStart=`, where `$` begins a variable as well.
pub(crate) fn unit_argument(text: &str) -> String {
    unit_word(&text.replace('$', "$$"))
}

/// Text after `Description=` and the like, which is not split into words.
pub(crate) fn unit_text(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word for a shell.
pub(crate) fn shell(text: &str) -> String {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// A shell command in a crontab, where `%` ends the command unless it is escaped.
pub(crate) fn crontab(command: &str) -> String {
    command.replace('%', "\\%")
}

/// A string in YAML (and in a Dockerfile's JSON form): double quotes, as JSON has them.
pub(crate) fn yaml(text: &str) -> String {
    use std::fmt::Write as _;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if !is_printable(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text of several lines as a YAML value behind `key:`, each line indented by so many blanks.
pub(crate) fn yaml_block(text: &str, indent: usize) -> String {
    let plain = text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c));
    if !plain {
        return format!(" {}\n", yaml(text));
    }
    let blanks = " ".repeat(indent);
    let lines = text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{blanks}{line}\n") });
    format!(" |\n{}", lines.collect::<String>())
}

/// A string of a manifest in which Kubernetes expands `$(NAME)`.
pub(crate) fn kubernetes(text: &str) -> String {
    yaml(&text.replace('$', "$$"))
}

/// A string of a compose file, in which `$NAME` is expanded.
pub(crate) fn compose(text: &str) -> String {
    yaml(&text.replace('$', "$$"))
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_gets_its_own_escapes() {
        let path = "/srv/my app/50%/it's $HOME/\"off\"";
        assert_eq!(unit_word(path), r#""/srv/my app/50%%/it's $HOME/\"off\"""#);
        assert_eq!(unit_argument(path), r#""/srv/my app/50%%/it's $$HOME/\"off\"""#);
        assert_eq!(shell(path), r#"'/srv/my app/50%/it'"'"'s $HOME/"off"'"#);
        assert_eq!(crontab(&shell("/srv/50%")), r"/srv/50\%");
        assert_eq!(yaml(path), r#""/srv/my app/50%/it's $HOME/\"off\"""#);
        assert_eq!(kubernetes("$(HOME)"), r#""$$(HOME)""#);
        for plain in ["/srv/app/storage/output", "/srv/app-1.0/a_b@c+d,e"] {
            assert_eq!(unit_word(plain), plain);
            assert_eq!(shell(plain), plain);
        }
    }

    #[test]
    fn text_of_several_lines_becomes_a_block_unless_a_block_would_change_it() {
        assert_eq!(yaml_block("a = 1\n\n  b\n", 2), " |\n  a = 1\n\n    b\n");
        assert_eq!(yaml_block("a", 2), " \"a\"\n");
        assert_eq!(yaml_block("a\r\n", 2), " \"a\\r\\n\"\n");
        assert_eq!(yaml_block(" a\n", 2), " \" a\\n\"\n");
        assert_eq!(yaml_block("a\u{1F9F9}\u{7f}\n", 2), " \"a\u{1F9F9}\\u007f\\n\"\n");
    }
}
