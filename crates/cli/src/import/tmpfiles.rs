//! `tmpfiles.d`: which lines clean, and which protect from them.
//!
//! systemd leaves everything alone that has a line of its own, of whatever kind; so each such line below a root becomes
//! an `exclude` of it. An age counts from the newest of all stamps.

use super::pattern::{Below, Braces, below, literal};
use super::{Depth, Draft, Found, Place, Stamp, root};

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    place: Place,
    kind: char,
    modifiers: String,
    path: String,
    age: Option<String>,
}

/// Whether a line is in the language of `tmpfiles.d`.
pub(super) fn is_entry(line: &str) -> bool {
    let mut fields = line.split_whitespace();
    let kind = fields.next().unwrap_or_default();
    let is_kind = kind.starts_with(|first: char| first.is_ascii_alphabetic())
        && kind.chars().skip(1).all(|modifier| "+!-=~^$?".contains(modifier));
    is_kind && fields.next().is_some_and(|path| path.starts_with(['/', '%', '"', '\'']))
}

/// Reads the lines of one file.
pub(super) fn entries(file: usize, text: &str, found: &mut Found) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (line, text) in super::lines(text) {
        let place = Place { file, line };
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !is_entry(text) {
            found.note(place, "not a line of tmpfiles.d");
            continue;
        }
        let quoted = fields.iter().take(6).any(|field| field.starts_with(['"', '\'']) || field.contains('\\'));
        let (kind, modifiers) = fields[0].split_at(1);
        entries.push(Entry {
            place,
            kind: kind.chars().next().unwrap_or_default(),
            modifiers: modifiers.to_owned(),
            // What is quoted may hold spaces; it is not read, and stands for anything.
            path: if quoted { "/*/*".to_owned() } else { fields[1].to_owned() },
            age: fields.get(5).filter(|age| **age != "-").map(|age| (*age).to_owned()),
        });
        if quoted {
            found.note(place, "a quoted or escaped field is not supported; nothing that it may refer to is imported");
        }
    }
    entries
}

/// Makes policies of the lines of all files together.
pub(super) fn judge(entries: &[Entry], found: &mut Found) {
    let mut used = vec![false; entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        match draft(entry) {
            Ok(draft) => {
                used[index] = true;
                match protect(draft, index, entries, &mut used) {
                    Ok(draft) => found.drafts.push(draft),
                    Err(why) => found.note(entry.place, why),
                }
                if entry.kind == 'D' {
                    found.note(entry.place, "emptying the folder at boot (`D`) is not imported");
                }
            }
            Err(Silence::Quoted) => used[index] = true,
            Err(Silence::Protects) => {}
            Err(Silence::Because(why)) => {
                used[index] = true;
                found.note(entry.place, why);
            }
        }
    }
    for (entry, used) in entries.iter().zip(used) {
        if !used {
            found.note(entry.place, "protects nothing that is imported");
        }
    }
}

/// Why a line is no policy.
enum Silence {
    /// It only protects.
    Protects,
    /// That was said already.
    Quoted,
    Because(String),
}

fn draft(entry: &Entry) -> Result<Draft, Silence> {
    let because = |why: &str| Silence::Because(why.to_owned());
    if entry.path == "/*/*" {
        return Err(Silence::Quoted);
    }
    match entry.kind {
        'x' | 'X' => return Err(Silence::Protects),
        'r' | 'R' => return Err(because("removes at boot, regardless of age; not imported")),
        'd' | 'D' | 'e' | 'v' | 'q' | 'Q' => {}
        _ if entry.age.is_none() => return Err(because("only creates something; it removes nothing")),
        _ => return Err(because("an age on this kind of line is not imported")),
    }
    if entry.modifiers.contains('!') {
        return Err(because("only done at boot; not imported"));
    }
    let Some(age) = &entry.age else { return Err(because("no age, so it removes nothing")) };
    if entry.path.contains('%') {
        return Err(because("a specifier (`%`) in the path is not resolved"));
    }
    let root = root(&entry.path).map_err(Silence::Because)?;
    let (stamp, max_age) = aged(age).map_err(Silence::Because)?;
    let (include, exclude) = ("*".to_owned(), Vec::new());
    Ok(Draft { place: entry.place, root, include, exclude, depth: Depth::All, max_age, stamp })
}

/// `1d`, `2h30min`, `m:1d`: the stamp and the duration.
fn aged(age: &str) -> Result<(Stamp, String), String> {
    if age.starts_with('~') {
        return Err("`~` protects the first level of folders, for which there is no key".to_owned());
    }
    let (stamp, age) = match age.split_once(':') {
        None => (Stamp::Newest, age),
        Some((stamps, age)) => {
            let files: String = stamps.chars().filter(char::is_ascii_lowercase).collect();
            let stamp = match files.as_str() {
                "a" => Stamp::Atime,
                "b" => Stamp::Btime,
                "c" => Stamp::Ctime,
                "m" => Stamp::Mtime,
                "" => return Err(format!("`{stamps}` is not a file timestamp")),
                // The newest of all keeps at least what the newest of some keeps.
                _ => Stamp::Newest,
            };
            (stamp, age)
        }
    };
    let unclear = || format!("the age `{age}` is not supported");
    let (mut seconds, mut rest) = (0_u64, age);
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|next: char| !next.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit: u64 = match unit {
            "" | "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return Err(unclear()),
        };
        let number: u64 = number.parse().map_err(|_| unclear())?;
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(unclear)?;
        rest = after;
    }
    match seconds {
        0 => Err("an age of 0 removes everything at every run; not imported".to_owned()),
        _ => Ok((stamp, duration(seconds))),
    }
}

fn duration(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    whole.map_or_else(String::new, |(unit, letter)| format!("{}{letter}", seconds / unit))
}

/// Adds what other lines keep below the root.
fn protect(mut draft: Draft, own: usize, entries: &[Entry], used: &mut [bool]) -> Result<Draft, String> {
    for (index, entry) in entries.iter().enumerate().filter(|(index, _)| *index != own) {
        let is_glob = !"dDvqQfFpLcbC".contains(entry.kind);
        let path = resolved(&entry.path);
        let path = if is_glob { path } else { literal_shell(&entry.path, path) };
        // What begins with anything (a quoted path, a specifier that nobody here knows) may lie below any root.
        let place = if path.starts_with("/*/") { Below::Unclear } else { below(&path, &draft.root, Braces::Literal) };
        match place {
            Below::Pattern(pattern) => {
                used[index] = true;
                if !draft.exclude.contains(&pattern) {
                    draft.exclude.push(pattern);
                }
            }
            Below::Elsewhere => {}
            Below::Unclear => {
                used[index] = true;
                return Err(format!(
                    "left out, because line {} (`{} {}`) may protect something below it",
                    entry.place.line, entry.kind, entry.path
                ));
            }
        }
    }
    Ok(draft)
}

/// A path whose specifiers are as wide as they can be: `%b` is some name, and `%t` is where the system has it.
fn resolved(path: &str) -> String {
    let known = [("%t", "/run"), ("%S", "/var/lib"), ("%C", "/var/cache"), ("%L", "/var/log"), ("%T", "/tmp")];
    let known = known.into_iter().chain([("%V", "/var/tmp"), ("%h", "/root")]);
    let path = known.fold(path.to_owned(), |path, (specifier, folder)| path.replace(specifier, folder));
    let mut text = String::new();
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            characters.next();
            text.push('*');
        } else {
            text.push(character);
        }
    }
    if text.starts_with('/') { text } else { format!("/*/{text}") }
}

/// A path of a kind of line that knows no patterns; specifiers in it are still wide.
fn literal_shell(raw: &str, resolved: String) -> String {
    if raw.contains('%') || !raw.contains(['*', '?', '[', '\\']) { resolved } else { literal(raw) }
}
