//! Crontabs and scripts: `find … -delete`, `find … -exec rm`, `find … -print0 | xargs -0 rm`, `tmpreaper …`.
//!
//! A command is carried over only when every word of it is understood. `-mmin +60` is more than 60 whole minutes, so
//! at least 61. Names that are printed as lines, or read without `-0`, are taken apart at blanks and quotes, and then
//! other files go than `find` has named; that is said, and not carried over.

use super::pattern::{Braces, translate};
use super::pipe::{Print, Reader};
use super::shell::{Token, tokens};
use super::write::keys;
use super::{Depth, Draft, Found, Place, Stamp, root, tmpreaper};

/// What may stand before a command without changing what it does.
const NOT_USERS: [&str; 12] =
    ["echo", "printf", "timeout", "true", "exec", "env", "sudo", "time", "command", "flock", "if", "while"];

/// Reads the lines of one file.
pub(super) fn read(file: usize, text: &str, found: &mut Found) {
    for (line, text) in super::lines(text) {
        let place = Place { file, line };
        if is_assignment(text) {
            continue;
        }
        if let Err(why) = read_line(place, text, found) {
            found.note(place, why);
        }
    }
}

/// `MAILTO=root`
fn is_assignment(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn read_line(place: Place, line: &str, found: &mut Found) -> Result<(), String> {
    let (command, is_cron) = without_schedule(line);
    let mut command = command.to_owned();
    if is_cron {
        if command.replace("\\%", "").contains('%') {
            return Err("an unescaped `%` ends the command in cron".to_owned());
        }
        command = command.replace("\\%", "%");
    }
    if !command.split(|next: char| !next.is_ascii_alphanumeric()).any(|word| matches!(word, "find" | "tmpreaper")) {
        return Err("neither find nor tmpreaper; ignored".to_owned());
    }
    let tokens = tokens(&command)?;
    let is_operator = |token: &Token| matches!(token, Token::Operator(_));
    let parts: Vec<&[Token]> = tokens.chunk_by(|one, other| !is_operator(one) && !is_operator(other)).collect();
    let mut guard = String::new();
    let mut carried = Err("neither find nor tmpreaper; ignored".to_owned());
    let mut reads_names = None;
    for (index, part) in parts.iter().enumerate() {
        if let [Token::Operator(operator)] = part {
            guard.clone_from(operator);
            continue;
        }
        if reads_names == Some(index) {
            continue;
        }
        let words = words(part);
        let words = without_prefix(&words, is_cron && guard.is_empty());
        match words.split_first() {
            Some((first, rest)) if is_program(first, "find") => {
                if guard == "|" || guard == "||" {
                    return Err(format!("it runs after `{guard}`"));
                }
                let reader = reader(part, &parts[index + 1..]);
                reads_names = reader.is_some().then_some(index + 2);
                carried = find(place, rest, reader.as_ref(), found);
            }
            Some((first, rest)) if is_program(first, "tmpreaper") => {
                if guard == "|" || guard == "||" {
                    return Err(format!("it runs after `{guard}`"));
                }
                carried = tmpreaper::command(place, rest, found);
            }
            Some((first, _)) if first == "cd" => {}
            Some((first, rest))
                if matches!(first.as_str(), "[" | "test") && rest.first().is_some_and(|of| of == "-d") => {}
            Some((first, _)) if carried.is_err() => {
                return Err(format!("the commands after `{first}` may depend on it"));
            }
            _ => {}
        }
        if carried.is_err() && words.first().is_some_and(|first| is_program(first, "find")) {
            return carried;
        }
    }
    carried
}

fn words(part: &[Token]) -> Vec<String> {
    part.iter().filter_map(|token| if let Token::Word(word) = token { Some(word.clone()) } else { None }).collect()
}

/// Who is given the names that the command in `part` prints.
fn reader(part: &[Token], after: &[&[Token]]) -> Option<Reader> {
    match after {
        [[Token::Operator(pipe)], next, ..] if pipe == "|" && !part.contains(&Token::Output) => {
            Some(Reader::new(without_prefix(&words(next), false)))
        }
        _ => None,
    }
}

pub(super) fn is_program(word: &str, name: &str) -> bool {
    word == name || word.strip_suffix(name).is_some_and(|folder| folder.starts_with('/') && folder.ends_with('/'))
}

/// The command of a line of cron; a line without a schedule is a command itself.
fn without_schedule(line: &str) -> (&str, bool) {
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    for _ in 0..fields {
        let (field, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let is_field = field.starts_with('@')
            || (field.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '*')
                && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*,/-".contains(&byte)));
        if !is_field || is_program(field, "find") || is_program(field, "tmpreaper") {
            return (line, false);
        }
        rest = after.trim_start();
    }
    (rest, true)
}

/// Without the user of a system crontab, and without `nice` and `ionice`.
fn without_prefix(words: &[String], may_name_user: bool) -> &[String] {
    let mut words = words;
    let is_known = |word: &String| {
        ["find", "tmpreaper", "nice", "ionice"].iter().any(|name| is_program(word, name))
            || matches!(word.as_str(), "[" | "test" | "cd")
    };
    if let [user, next, ..] = words {
        let is_user = user.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && !user.contains('/')
            && !NOT_USERS.contains(&user.as_str());
        if may_name_user && is_user && !is_known(user) && is_known(next) {
            words = &words[1..];
        }
    }
    while let [first, rest @ ..] = words {
        if !is_program(first, "nice") && !is_program(first, "ionice") {
            break;
        }
        words = rest;
        while let [option, rest @ ..] = words {
            if !option.starts_with('-') && !option.bytes().all(|byte| byte.is_ascii_digit()) {
                break;
            }
            words = rest;
        }
    }
    words
}

/// Reads the words after `find`; an error says why there is no policy.
fn find(place: Place, words: &[String], reader: Option<&Reader>, found: &mut Found) -> Result<(), String> {
    let words = words.iter().map(String::as_str).skip_while(|word| *word == "-P").collect::<Vec<_>>();
    let paths = words.iter().position(|word| word.starts_with(['-', '(', '!'])).unwrap_or(words.len());
    let (paths, tests) = words.split_at(paths);
    let tests = Tests::read(tests)?;
    let Some((stamp, max_age)) = &tests.age else { return Err("no age (`-mtime +N`, `-mmin +N`)".to_owned()) };
    if paths.is_empty() {
        return Err("no folder, and the current one is unknown".to_owned());
    }
    let draft = |root| Draft {
        place,
        root,
        include: tests.include.clone().unwrap_or_else(|| "*".to_owned()),
        exclude: Vec::new(),
        depth: tests.depth,
        max_age: max_age.clone(),
        stamp: *stamp,
    };
    let roots: Vec<_> = paths.iter().map(|path| root(path)).collect();
    let action = match (tests.action, reader) {
        (Some(action), _) => action,
        (None, None) => {
            return Err("find itself removes nothing here (no `-delete`, no `-exec rm`)".to_owned());
        }
        (None, Some(reader)) => {
            let action = reader.removal()?;
            if let Err(why) = reader.takes(tests.print()?) {
                let by_hand: Vec<String> = roots.iter().flatten().map(|root| keys(&draft(root.clone()))).collect();
                return Err(if by_hand.is_empty() {
                    why
                } else {
                    format!("{why}; to remove the files that find prints, write: {}", by_hand.join("; and: "))
                });
            }
            action
        }
    };
    let before = found.drafts.len();
    for root in roots {
        match root {
            Ok(root) => found.drafts.push(draft(root)),
            Err(why) => found.note(place, why),
        }
    }
    if found.drafts.len() == before {
        return Ok(());
    }
    if action == Action::RemoveTrees {
        found.note(place, "`rm -r` removes whole folders; this policy removes single files, each by its own age");
    } else if !tests.files_only {
        found.note(place, "only files are removed; folders stay unless `remove_empty_dirs = true`");
    }
    if let (Some(_), Some(reader)) = (tests.action, reader) {
        found.note(place, format!("what `{}` does with the names is not imported", reader.program()));
    }
    Ok(())
}

/// What is done with what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Remove,
    /// `rm -r`
    RemoveTrees,
}

/// The part of `find` after the folders.
struct Tests {
    include: Option<String>,
    depth: Depth,
    age: Option<(Stamp, String)>,
    files_only: bool,
    action: Option<Action>,
    /// How the names are printed, each way as often as it stands there.
    prints: Vec<Print>,
    /// The first word after a name was printed, which so does not depend on it.
    after_print: Option<String>,
}

impl Tests {
    fn read(words: &[&str]) -> Result<Self, String> {
        let mut tests = Self {
            include: None,
            depth: Depth::All,
            age: None,
            files_only: false,
            action: None,
            prints: Vec::new(),
            after_print: None,
        };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let print = Print::of(word);
            let is_harmless = print.is_some() || word == "-depth";
            if tests.action.is_some() && !is_harmless {
                return Err(format!("`{word}` comes after the removal, so it does not restrict it"));
            }
            if !tests.prints.is_empty() && !is_harmless && tests.after_print.is_none() {
                tests.after_print = Some(word.to_owned());
            }
            tests.prints.extend(print);
            let mut value = || words.next().ok_or_else(|| format!("`{word}` without a value"));
            match word {
                "-mount" | "-xdev" | "-noleaf" | "-ignore_readdir_race" | "-nowarn" | "-a" | "-and" => {}
                _ if is_harmless => {}
                "-name" => {
                    let name = value()?;
                    let include = translate(name, Braces::Literal).filter(|name| !name.contains('/'));
                    let include = include.ok_or_else(|| format!("the pattern `{name}` has no equivalent"))?;
                    if tests.include.replace(include).is_some() {
                        return Err("several `-name` have no equivalent".to_owned());
                    }
                }
                "-type" => match value()? {
                    "f" => tests.files_only = true,
                    "d" => return Err("use `remove_empty_dirs = true` in a file policy to remove folders".to_owned()),
                    other => return Err(format!("only files are removed here, not `-type {other}`")),
                },
                "-empty" => {
                    return Err("use `remove_empty_dirs = true` for empty folders; sizes are not considered".to_owned());
                }
                "-maxdepth" => {
                    let levels = value()?;
                    tests.depth = match levels.parse() {
                        Ok(0) | Err(_) => return Err(format!("`-maxdepth {levels}` has no equivalent")),
                        Ok(1) => Depth::Root,
                        Ok(levels) => Depth::Levels(levels),
                    };
                }
                "-mindepth" => match value()? {
                    "0" | "1" => {}
                    levels => return Err(format!("`-mindepth {levels}` has no equivalent")),
                },
                "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime" | "-cmin" => {
                    if tests.age.replace(age(word, value()?)?).is_some() {
                        return Err("several ages have no equivalent".to_owned());
                    }
                }
                "-delete" => tests.action = Some(Action::Remove),
                "-exec" | "-execdir" => tests.action = Some(removal("-exec", &mut words)?),
                _ => return Err(format!("`{word}` has no equivalent")),
            }
        }
        Ok(tests)
    }

    /// How each name that was found is printed, once and no other.
    fn print(&self) -> Result<Print, String> {
        if let Some(word) = &self.after_print {
            return Err(format!("`{word}` comes after the name was printed, so it does not restrict it"));
        }
        match self.prints.as_slice() {
            [] => Ok(Print::Line),
            [print] => Ok(*print),
            _ => Err("names are printed twice".to_owned()),
        }
    }
}

fn age(word: &str, value: &str) -> Result<(Stamp, String), String> {
    let stamp = match word.as_bytes().get(1) {
        Some(b'a') => Stamp::Atime,
        Some(b'c') => Stamp::Ctime,
        _ => Stamp::Mtime,
    };
    let unit = if word.ends_with("min") { 'm' } else { 'd' };
    let number = value.strip_prefix('+').and_then(|number| number.parse::<u32>().ok());
    match number.and_then(|number| number.checked_add(1)) {
        Some(number) => Ok((stamp, format!("{number}{unit}"))),
        None => Err(format!("`{word} {value}` is not \"older than\"")),
    }
}

/// `rm`, its flags, `{}`, and the end. `by` is who runs it.
pub(super) fn removal<'a>(by: &str, words: &mut impl Iterator<Item = &'a str>) -> Result<Action, String> {
    let unclear = |word: &str| format!("`{by}` with `{word}` is not supported; only `rm` is");
    let program = words.next().unwrap_or_default();
    if !is_program(program, "rm") {
        return Err(unclear(program));
    }
    let (mut action, mut has_names) = (Action::Remove, false);
    for word in words {
        match word {
            ";" | "+" if has_names => return Ok(action),
            "{}" if !has_names => has_names = true,
            "--" | "--force" | "--verbose" if !has_names => {}
            "--recursive" if !has_names => action = Action::RemoveTrees,
            _ if !has_names
                && word.len() > 1
                && word.starts_with('-')
                && word[1..].chars().all(|flag| "rRfv".contains(flag)) =>
            {
                if word.contains(['r', 'R']) {
                    action = Action::RemoveTrees;
                }
            }
            _ => return Err(unclear(word)),
        }
    }
    Err(format!("`{by}` is not terminated"))
}
