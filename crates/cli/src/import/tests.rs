//! Each language with a file that has everything in it, and the lines that must never become a policy.

use std::path::Path;

use cleanup_core::config::{Config, Source};
use cleanup_core::damage::{Blow, damaged};
use proptest::prelude::*;

use super::{Imported, Input, import};

#[test]
fn atime_is_not_written_where_reads_are_not_recorded() {
    let text = "0 4 * * * find /srv/a -type f -atime +3 -delete\n0 4 * * * find /srv/b -type f -atime +3 -delete\n";
    let inputs = [Input { name: "crontab".to_owned(), text: text.to_owned() }];
    let records = |folder: &std::path::Path, max_age: std::time::Duration| {
        assert_eq!(max_age, std::time::Duration::from_hours(4 * 24));
        if folder == std::path::Path::new("/srv/a") { Err("its mount has `noatime`".to_owned()) } else { Ok(()) }
    };
    let Imported { policies, notes, .. } = import(&inputs, &records);
    assert!(policies[0].text.contains("stamp = \"newest\""), "{}", policies[0].text);
    assert!(policies[1].text.contains("stamp = \"atime\""), "{}", policies[1].text);
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert_eq!((note.line, note.message.ends_with("its mount has `noatime`")), (1, true), "{note:?}");
}

fn imported(files: &[(&str, &str)]) -> Imported {
    let inputs: Vec<Input> =
        files.iter().map(|(name, text)| Input { name: (*name).to_owned(), text: (*text).to_owned() }).collect();
    let imported = import(&inputs, &|_, _| Ok(()));
    let source = Source { name: "cleanup.toml", text: &imported.config, folder: Path::new("/etc") };
    let config = Config::load(&source, &|_| None).unwrap_or_else(|error| panic!("{}", error.render(false)));
    assert_eq!(config.files.len(), imported.policies.len());
    assert!(imported.policies.iter().all(|policy| policy.text.contains("mode = \"observe\"")));
    imported
}

fn table(name: &str, file: &str, text: &str) {
    let imported = imported(&[(file, text)]);
    let notes: Vec<String> =
        imported.notes.iter().map(|note| format!("{}:{}: {}", note.file, note.line, note.message)).collect();
    insta::assert_snapshot!(name, format!("{}── notes\n{}", imported.config, notes.join("\n")));
}

#[test]
fn tmpfiles_lines() {
    table("tmpfiles", "app.conf", include_str!("testdata/tmpfiles.conf"));
}

#[test]
fn tmpreaper_settings() {
    table("tmpreaper", "tmpreaper.conf", include_str!("testdata/tmpreaper.conf"));
}

#[test]
fn crontab_lines() {
    table("crontab", "crontab", include_str!("testdata/crontab"));
}

#[test]
fn a_line_of_one_file_protects_from_a_line_of_another() {
    let imported = imported(&[("tmp.conf", "q /tmp 1777 root root 10d\n"), ("x.conf", "x /tmp/keep-%b-*\n")]);
    assert!(imported.policies[0].text.contains(r#"exclude = ["keep-*-*"]"#), "{imported:?}");
}

#[test]
fn what_may_protect_anything_keeps_everything() {
    for line in ["x \"/tmp/a b\"", "x /*/keep", "x %d/keep", "x /tmp/[[:alpha:]]"] {
        let imported = imported(&[("tmp.conf", &format!("d /tmp - - - 1d\n{line}\n"))]);
        assert_eq!(imported.policies, [], "{line}");
        assert!(!imported.notes.is_empty(), "{line}");
    }
}

#[test]
fn a_quoted_path_may_lie_below_any_root() {
    for line in ["x \"/srv/app/tmp/a b\"", "x %d/keep"] {
        let found = imported(&[("app.conf", &format!("d /srv/app/tmp - - - 1d\n{line}\n"))]);
        assert!(found.policies.is_empty(), "{line}");
        assert!(found.notes.iter().any(|note| note.message.contains("may protect something below it")), "{line}");
    }
}

#[test]
fn an_unset_time_is_not_guessed() {
    let imported = imported(&[("tmpreaper.conf", "RUNFROMCRON=true\nTMPREAPER_DIRS='/tmp/.'\n")]);
    assert_eq!(imported.policies, []);
    assert!(imported.notes[0].message.starts_with("TMPREAPER_TIME is not set"), "{imported:?}");
}

#[test]
fn what_find_would_not_do_either_is_no_policy() {
    for command in [
        "find / -mtime +1 -delete",
        "find . -mtime +1 -delete",
        "find /a/.. -mtime +1 -delete",
        "find /a -delete -mtime +1",
        "find /a -mtime +1",
        "find /a -mtime 1 -delete",
        "find /a -mtime -1 -delete",
        "find /a -mtime +1 -name x -o -name y -delete",
        "find /a ! -name x -mtime +1 -delete",
        "find /a -not -name x -mtime +1 -delete",
        "find /a \\( -name x \\) -mtime +1 -delete",
        "find /a -newer /b -delete",
        "find /a -mtime +1 -size +1M -delete",
        "find /a -mtime +1 -user me -delete",
        "find /a -mtime +1 -iname x -delete",
        "find /a -mtime +1 -type d -delete",
        "find /a -mtime +1 -exec mv {} /b \\;",
        "find /a -mtime +1 -exec rm {} /b \\;",
        "find $A -mtime +1 -delete",
        "find \"$(cat /a)\" -mtime +1 -delete",
        "find /a* -mtime +1 -delete",
        "find -L /a -mtime +1 -delete",
        "find /a -mtime +1 -delete \\",
        "echo find /a -mtime +1 -delete",
        "mountpoint -q /a && find /a -mtime +1 -delete",
        "test -d /a || find /a -mtime +1 -delete",
        "0 3 * * * find /a -name %x -mtime +1 -delete",
        "tmpreaper --test 1d /a",
        "tmpreaper 1d",
        "tmpreaper 0 /a",
        "tmpreaper --protect '/*/x' 1d /a",
        "tmpreaper --keep 1d /a",
    ] {
        let imported = imported(&[("crontab", command)]);
        assert_eq!(imported.policies, [], "{command}");
        assert_eq!(imported.notes.len(), 1, "{command}: {:?}", imported.notes);
    }
}

#[test]
fn names_that_go_to_rm_unharmed_are_carried_over() {
    let direct = imported(&[("crontab", "find /a -name '*.svg' -type f -mmin +60 -delete")]);
    let table = |imported: &Imported| imported.policies.iter().map(|policy| policy.text.clone()).collect::<Vec<_>>();
    assert_eq!((direct.policies.len(), direct.notes.len()), (1, 0));
    for reader in [
        "xargs -0 rm",
        "xargs -0 rm -f",
        "xargs -0 -r rm -fv --",
        "xargs -0r /bin/rm -f",
        "xargs -r0 -n 100 -P4 rm -f",
        "xargs -0n1 rm",
        "xargs --null --no-run-if-empty --max-args=10 --max-procs 2 rm --force",
        "/usr/bin/xargs -0 -- rm",
        "nice -n 10 xargs -0 rm",
        "xargs -0 -I {} rm -f {}",
        "xargs -0 -I% rm -f %",
        "xargs -0 rm 2>/dev/null",
        "xargs -0 rm -v >> /var/log/removed.log 2>&1",
        "xargs -0 rm -v | logger",
        "xargs -0 rm && echo done",
    ] {
        let command = format!("find /a -name '*.svg' -type f -mmin +60 -print0 2>/dev/null | {reader}");
        for line in [command.clone(), format!("0 3 * * * {}", command.replace("-I%", "-I{}").replace(" %", " {}"))] {
            let piped = imported(&[("crontab", &line)]);
            assert_eq!(table(&piped), table(&direct), "{line}: {:?}", piped.notes);
            assert_eq!(piped.notes, [], "{line}");
        }
    }
    let two = imported(&[("crontab", "find /a /b -mtime +1 -print0 | xargs -0 rm -rf")]);
    assert_eq!(two.policies.len(), 2);
    assert!(two.notes[0].message.starts_with("`rm -r` removes whole folders"), "{:?}", two.notes);
}

/// The true reason, and never that it removes nothing.
#[test]
fn what_becomes_of_piped_names_is_said_where_it_is_not_carried_over() {
    const APART: &str = "without `-print0` and `xargs -0`, names are split at blanks and quotes, so other files could \
                         be removed; to remove the files that find prints, write: root = \"/a\", include = [\"*\"], \
                         dotfiles = true, recursive = true, max_age = \"2d\", stamp = \"mtime\"";
    for (command, says) in [
        ("find /a -mtime +1 | xargs rm", APART),
        ("find /a -mtime +1 -print | xargs rm -f", APART),
        ("find /a -mtime +1 -print0 | xargs rm -f", APART),
        ("find /a -mtime +1 | xargs -r rm -rf", APART),
        ("find /a -mtime +1 | xargs -I {} rm {}", APART),
        (
            "find /a -mtime +1 | xargs -0 rm",
            "find prints lines, but `xargs -0` expects NUL after each name (`-print0`); to remove the files that find \
             prints, write: root = \"/a\", include = [\"*\"], dotfiles = true, recursive = true, max_age = \"2d\", \
             stamp = \"mtime\"",
        ),
        (
            "find /a /b -maxdepth 1 -name '*.log' -mtime +1 | xargs rm",
            "max_age = \"2d\", stamp = \"mtime\"; and: root = \"/b\", include = [\"*.log\"], dotfiles = true, max_age = \"2d\"",
        ),
        ("find /a -print0 -mtime +1 | xargs -0 rm", "`-mtime` comes after the name was printed"),
        ("find /a -mtime +1 -print0 -print0 | xargs -0 rm", "names are printed twice"),
        ("find /a -mtime +1 -print0 | xargs -0 mv -t /b", "`xargs` with `mv` is not supported; only `rm` is"),
        ("find /a -mtime +1 -print0 | xargs -0 sudo rm", "`xargs` with `sudo` is not supported; only `rm` is"),
        ("find /a -mtime +1 -print0 | xargs -0 rm /b", "`xargs` with `/b` is not supported; only `rm` is"),
        ("find /a -mtime +1 -print0 | xargs -0 rm {}", "`xargs` with `{}` is not supported; only `rm` is"),
        ("find /a -mtime +1 -print0 | xargs -0 -I {} rm x{}", "`xargs` with `x{}` is not supported; only `rm` is"),
        ("find /a -mtime +1 -print0 | xargs -0 -I {} rm -f", "`xargs` with `;` is not supported"),
        ("find /a -mtime +1 -print0 | xargs -0", "`xargs` without a command removes nothing"),
        ("find /a -mtime +1 -print0 | xargs -0 -a list rm", "`xargs -a` is not supported"),
        ("find /a -mtime +1 -print0 | xargs -0 -n x rm", "`xargs -n` is not supported"),
        ("find /a -mtime +1 -print0 | xargs -0 --arg-file=list rm", "`xargs --arg-file=list` is not supported"),
        ("find /a -mtime +1 | grep -v keep | xargs rm", "it pipes the names into `grep`, which is not supported"),
        ("find /a -mtime +1 -print0 | sudo xargs -0 rm", "it pipes the names into `sudo`, which is not supported"),
        ("find /a -mtime +1 | cpio -pdm /b", "it pipes the names into `cpio`, which is not supported"),
        ("find /a -mtime +1 | while read f; do rm \"$f\"; done", "it contains a shell variable or command"),
        ("find /a -mtime +1 -print0 > list | xargs -0 rm", "find itself removes nothing here"),
        ("find /a -mtime +1 -print0 > list; xargs -0 -a list rm", "find itself removes nothing here"),
        ("find /a -mtime +1 -print0 |& xargs -0 rm", "it holds `|&` of the shell"),
        ("find /a -mtime +1", "find itself removes nothing here (no `-delete`, no `-exec rm`)"),
        ("rm -f $(find /a -mtime +1)", "it contains a shell variable or command"),
        ("find / -mtime +1 | xargs rm", "names are split at blanks and quotes, so other files could be removed"),
    ] {
        let imported = imported(&[("script", command)]);
        assert_eq!(imported.policies, [], "{command}");
        let messages: Vec<&str> = imported.notes.iter().map(|note| note.message.as_str()).collect();
        assert!(matches!(messages.as_slice(), [message] if message.contains(says)), "{command}: {messages:#?}");
    }
}

#[test]
fn what_find_removes_itself_goes_whoever_is_told_of_it() {
    for (command, note) in [
        ("find /a -type f -mtime +1 -print -delete | logger", "what `logger` does with the names is not imported"),
        ("find /a -type f -mtime +1 -exec rm {} + -print0 | xargs -0 ls", "what `xargs` does with the names"),
    ] {
        let imported = imported(&[("script", command)]);
        assert_eq!(imported.policies.len(), 1, "{command}");
        assert!(imported.notes.len() == 1 && imported.notes[0].message.contains(note), "{:?}", imported.notes);
    }
}

#[test]
fn names_are_unique_and_short() {
    let long = "/x".repeat(60);
    let text = format!("d /A.b/c - - - 1d\nd /a-b/C - - - 1d\nd {long} - - - 1d\nd /é - - - 1d\n");
    let imported = imported(&[("a.conf", &text)]);
    let names: Vec<&str> = imported.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names[..2], ["a-b-c", "a-b-c-2"]);
    assert!(names[2].len() <= 56 && names[3] == "imported", "{names:?}");
}

#[test]
fn every_document_loads_whatever_the_lines_say() {
    for text in
        ["", "d /\u{1b}[2J - - - 1d\n", "d /a\"b'c - - - 1d\n", "d /${HOME} - - - 1d\n", "x\n\0\n", "d /a - - - 1y\n"]
    {
        imported(&[("a.conf", text)]);
    }
}

#[test]
fn two_lines_for_one_folder_become_two_policies_only_where_each_has_files_of_its_own() {
    let line = |name: &str, days: u32| format!("find /srv/a -name '{name}' -mtime +{days} -delete\n");
    let policies = |first: &str, second: &str| {
        let both = line(first, 1) + &line(second, 30);
        let imported = imported(&[("a.sh", &both)]);
        (imported.policies.len(), imported.notes.iter().filter(|it| it.message.contains("same folder")).count())
    };
    assert_eq!(policies("*.tmp", "*.log"), (2, 0));
    assert_eq!(policies("*.tmp", "*.tmp"), (1, 1));
    assert_eq!(policies("*.tmp", "*"), (1, 1));
    assert_eq!(policies("*", "*.tmp"), (1, 1));
}

/// Whatever this machine has; where it has none, the fixtures above stand for it.
#[test]
fn the_files_of_this_machine_become_documents_that_load() {
    let folder = std::fs::read_dir("/usr/lib/tmpfiles.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts: Vec<(String, String)> = folder
        .chain(["/etc/tmpreaper.conf".into()])
        .filter_map(|path| Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?)))
        .collect();
    imported(&texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
}

/// Whatever stands in a file: what comes of it is a configuration that loads, and takes nothing by itself.
fn breaks_nothing(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let begun = std::time::Instant::now();
    let Imported { config, notes, .. } = imported(&[("file", &text)]);
    assert!(config.len() <= 100 * (text.len() + 1000), "{} bytes out of {}", config.len(), text.len());
    // Far more than it takes, and far less than anybody waits.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    let lines = text.lines().count();
    assert!(notes.iter().all(|note| note.file == "file" && (1..=lines).contains(&note.line)), "{notes:?}");
}

const GOOD: [&str; 3] =
    [include_str!("testdata/tmpfiles.conf"), include_str!("testdata/tmpreaper.conf"), include_str!("testdata/crontab")];

proptest! {
    #[test]
    fn no_damage_breaks_the_importers(which in 0..GOOD.len(), blows in prop::collection::vec(any::<Blow>(), 1..5)) {
        breaks_nothing(&damaged(GOOD[which].as_bytes(), &blows));
    }

    #[test]
    fn no_damage_to_a_line_breaks_the_importers(
        which in 0..GOOD.len(),
        line in any::<prop::sample::Index>(),
        blows in prop::collection::vec(any::<Blow>(), 1..4),
    ) {
        let lines: Vec<&str> = GOOD[which].lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        breaks_nothing(&damaged(line.get(&lines).as_bytes(), &blows));
    }

    #[test]
    fn no_bytes_break_the_importers(
        first in prop::sample::select(vec!["", "d ", "TMPREAPER_DIRS=", "0 4 * * * find /srv/a ", "0 4 * * * tmpwatch "]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        breaks_nothing(&[first.as_bytes(), &bytes].concat());
    }
}

#[test]
fn what_was_found_once_is_not_found_again() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/corpus")).unwrap() {
        breaks_nothing(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}
