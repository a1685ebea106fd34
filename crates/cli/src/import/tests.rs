//! Each language with a file that has everything in it, and the lines that must never become a policy.

use std::path::Path;

use cleanup_core::config::{Config, Source};

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
        "find /a -mtime +1 -print0 | xargs -0 rm",
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
