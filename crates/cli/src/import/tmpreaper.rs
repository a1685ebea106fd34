//! tmpreaper: Debian's `/etc/tmpreaper.conf`, and the command itself.
//!
//! The command counts from the last access, with `--mtime` from the last change, and with `--ctime` from the newer of
//! access and inode change, for which `newest` is the nearest stamp that keeps at least as much.

use super::pattern::{Below, Braces, below, translate};
use super::shell::{Token, tokens};
use super::{Depth, Draft, Found, Place, Stamp, root};

/// What Debian's cron job protects, whatever the file says.
const DEBIAN_PROTECTS: [&str; 8] = [
    "/tmp/.X*-{lock,unix,unix/*}",
    "/tmp/.ICE-{unix,unix/*}",
    "/tmp/.iroha_{unix,unix/*}",
    "/tmp/.ki2-{unix,unix/*}",
    "/tmp/lost+found",
    "/tmp/journal.dat",
    "/tmp/quota.{user,group}",
    "/tmp/systemd-private*/*",
];

const FORCE: &str = "tmpreaper keeps files without write permission unless it has --force; there is no key for that";

/// Reads `tmpreaper.conf`: assignments of the shell, of which the last one counts.
pub(super) fn read(file: usize, text: &str, found: &mut Found) {
    let mut time: Option<(Place, String)> = None;
    let mut dirs: Option<(Place, String)> = None;
    let (mut protects, mut options) = (String::new(), String::new());
    let (mut protects_at, mut options_at) = (None, None);
    let mut is_clear = true;
    for (line, text) in super::lines(text) {
        let place = Place { file, line };
        let Some((name, value)) = text.split_once('=') else {
            found.note(place, "not an assignment, so the effect of this file is unknown; nothing is imported");
            is_clear = false;
            continue;
        };
        let value = match tokens(value) {
            Ok(words) if words.is_empty() => String::new(),
            Ok(words) => {
                let [Token::Word(word)] = words.as_slice() else {
                    found.note(place, "more than an assignment; nothing of this file is imported");
                    is_clear = false;
                    continue;
                };
                word.clone()
            }
            Err(why) => {
                found.note(place, format!("{why}; nothing of this file is imported"));
                is_clear = false;
                continue;
            }
        };
        match name {
            "TMPREAPER_TIME" => time = Some((place, value)),
            "TMPREAPER_DIRS" => dirs = Some((place, value)),
            "TMPREAPER_PROTECT_EXTRA" => (protects_at, protects) = (Some(place), value),
            "TMPREAPER_ADDITIONALOPTIONS" => (options_at, options) = (Some(place), value),
            "SHOWWARNING" if value == "true" => {
                found.note(place, "with this, Debian's cron job only prints a warning and removes nothing");
            }
            "RUNFROMCRON" if value != "true" => found.note(place, "without `true`, Debian's cron job removes nothing"),
            "TMPREAPER_DELAY" | "SHOWWARNING" | "RUNFROMCRON" => {}
            _ => found.note(place, format!("`{name}` is not a setting of tmpreaper")),
        }
    }
    if !is_clear {
        return;
    }
    let Some((dirs_at, dirs)) = dirs else {
        let place = time.map_or(Place { file, line: 1 }, |(place, _)| place);
        return found.note(place, "TMPREAPER_DIRS is not set, so there is no root");
    };
    let Some((_, time)) = time else {
        return found.note(
            dirs_at,
            "TMPREAPER_TIME is not set: Debian's cron job then takes 7d, or what /etc/default/rcS says; set it and import again",
        );
    };
    let mut words: Vec<String> = vec!["--ctime".to_owned(), "--mtime-dir".to_owned(), "--symlinks".to_owned()];
    words.extend(options.split_whitespace().map(str::to_owned));
    let all_protects = DEBIAN_PROTECTS.into_iter().chain(protects.split_whitespace());
    words.extend(all_protects.flat_map(|pattern| ["--protect".to_owned(), pattern.to_owned()]));
    words.push(time);
    words.extend(dirs.split_whitespace().map(str::to_owned));
    let blamed = options_at.filter(|_| !options.is_empty()).or(protects_at.filter(|_| !protects.is_empty()));
    if let Err(why) = command(dirs_at, &words, found) {
        found.note(dirs_at, why.clone());
        if let Some(place) = blamed {
            found.note(place, format!("nothing of this file is imported: {why}"));
        }
    }
}

/// Reads the words after `tmpreaper`; an error says why there is no policy.
pub(super) fn command(place: Place, words: &[String], found: &mut Found) -> Result<(), String> {
    let (mut protects, mut rest) = (Vec::new(), Vec::new());
    let (mut by_mtime, mut with_ctime, mut is_forced) = (false, false, false);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-m" | "--mtime" => by_mtime = true,
            "-c" | "--ctime" => with_ctime = true,
            "-f" | "--force" => is_forced = true,
            "-M" | "--mtime-dir" | "-s" | "--symlinks" | "-v" | "--verbose" | "--showdeleted" => {}
            "-t" | "--test" => return Err("--test: it removes nothing".to_owned()),
            "-a" | "--all" => found.note(place, "--all: sockets, pipes and devices are never removed here"),
            "-T" | "--runtime" | "--delay" => drop(words.next()),
            "--protect" => protects.push(words.next().ok_or("--protect without a pattern")?),
            _ if word.starts_with("--protect=") => protects.push(&word["--protect=".len()..]),
            _ if ["--delay=", "--runtime=", "--verbose="].iter().any(|option| word.starts_with(option)) => {}
            _ if word.starts_with('-') => return Err(format!("the option `{word}` is not supported")),
            _ => rest.push(word),
        }
    }
    let (time, dirs) = rest.split_first().ok_or("no time and no folder")?;
    let max_age = duration(time).ok_or_else(|| format!("the time `{time}` is not supported"))?;
    if dirs.is_empty() {
        return Err("no folder".to_owned());
    }
    let stamp = match (by_mtime, with_ctime) {
        (true, _) => Stamp::Mtime,
        (false, true) => Stamp::Newest,
        (false, false) => Stamp::Atime,
    };
    let mut carried = false;
    for dir in dirs {
        match root(dir).and_then(|root| Ok((excludes(&root, &protects)?, root))) {
            Ok((exclude, root)) => {
                let (max_age, include) = (max_age.clone(), "*".to_owned());
                found.drafts.push(Draft { place, root, include, exclude, depth: Depth::All, max_age, stamp });
                carried = true;
            }
            Err(why) => found.note(place, why),
        }
    }
    if carried && !is_forced {
        found.note(place, FORCE);
    }
    Ok(())
}

fn excludes(root: &str, protects: &[&str]) -> Result<Vec<String>, String> {
    let mut excludes = Vec::new();
    for pattern in protects {
        let unclear = || format!("`{root}` is left out, because it is unclear what `{pattern}` protects in it");
        let exclude = if pattern.starts_with('/') {
            match below(pattern, root, Braces::Alternatives) {
                Below::Pattern(pattern) => pattern,
                Below::Elsewhere => continue,
                Below::Unclear => return Err(unclear()),
            }
        } else {
            translate(pattern.trim_start_matches("./"), Braces::Alternatives).ok_or_else(unclear)?
        };
        if !excludes.contains(&exclude) {
            excludes.push(exclude);
        }
    }
    Ok(excludes)
}

/// `7d`, `2h`, `30m`, `90s`; a bare number is hours.
fn duration(time: &str) -> Option<String> {
    let (number, unit) = match time.strip_suffix(['d', 'h', 'm', 's']) {
        Some(number) => (number, &time[number.len()..]),
        None => (time, "h"),
    };
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    Some(format!("{number}{unit}"))
}
