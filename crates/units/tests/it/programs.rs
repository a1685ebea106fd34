//! The programs that the files are written for, asked what they think of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use cleanup_units::{Rendered, Target, render};
use serde_json::Value;

use crate::support::{DEFAULT, ODD, env, judge, odd, odd_target, rendered, target, texts, verdict, written};

/// Both installations, by programs that are there, since systemd looks whether they are.
fn installations(programs: &Path) -> [Rendered; 2] {
    for name in ["cleanup", "cleanup-server"] {
        fs::copy("/bin/true", programs.join(name)).unwrap();
    }
    [
        render(DEFAULT, &Target { prefix: programs, ..target() }, &env).unwrap(),
        render(ODD, &Target { prefix: programs, ..odd_target() }, &env).unwrap(),
    ]
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let programs = tempfile::tempdir().unwrap();
    for all in installations(programs.path()) {
        let folder = written(&all);
        let units = all.files.iter().filter(|file| file.path.starts_with("systemd/") && !file.path.ends_with(".conf"));
        let Some(mut command) = judge("systemd-analyze") else { return };
        command.args(["verify", "--man=no"]).args(units.map(|file| folder.path().join(&file.path)));
        assert_eq!(verdict(&mut command), (true, String::new()));
    }
}

#[test]
fn the_units_are_as_closed_as_they_can_be() {
    for all in [rendered(DEFAULT), odd()] {
        let folder = written(&all);
        for file in all.files.iter().filter(|file| file.path.ends_with(".service")) {
            let Some(mut command) = judge("systemd-analyze") else { return };
            // In tenths.
            let limit = if file.text.contains("\nPrivateNetwork=yes\n") { 10 } else { 15 };
            command.args(["security", "--offline=true", &format!("--threshold={limit}")]);
            let (good, printed) = verdict(command.arg(folder.path().join(&file.path)));
            assert!(good, "{}: {printed}", file.path);
        }
    }
}

#[test]
fn crontab_takes_the_crontab() {
    for all in [rendered(DEFAULT), odd()] {
        let folder = written(&all);
        let Some(mut command) = judge("crontab") else { return };
        let (good, printed) = verdict(command.arg("-n").arg(folder.path().join("cron/crontab")));
        assert!(good, "{printed}");
        // The other file is the same, with the user between times and command.
        let texts = texts(&all);
        let lines = |path: &str| {
            let jobs = texts[path].lines().filter(|line| line.starts_with(|c: char| c == '*' || c.is_ascii_digit()));
            jobs.map(|line| line.splitn(7, ' ').map(str::to_owned).collect()).collect::<Vec<Vec<String>>>()
        };
        for (own, system) in lines("cron/crontab").iter().zip(lines("cron/cleanup")) {
            assert_eq!(own[..5], system[..5]);
            assert_eq!(own[5..].join(" "), system[6]);
        }
    }
}

#[test]
fn many_policies_at_the_same_times_take_as_many_lines_as_cron_can_read() {
    let policies: String = (10..60)
        .map(|number| {
            let name = format!("{}-{number}", "long-name".repeat(6));
            format!("[files.{name}]\nroot = \"{number}\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nevery = \"1h\"\n")
        })
        .collect();
    let all = rendered(&policies);
    assert_eq!(all.notes, []);
    let text = texts(&all)["cron/crontab"];
    assert!(text.lines().filter(|line| line.starts_with("0 * * * * ")).count() > 2);
    assert!((10..60).all(|number| text.contains(&format!("name-{number} "))));
    let folder = written(&all);
    let Some(mut command) = judge("crontab") else { return };
    let (good, printed) = verdict(command.arg("-n").arg(folder.path().join("cron/crontab")));
    assert!(good, "{printed}");

    let deep = format!("/srv/{}/cleanup.toml", "deep/".repeat(200));
    let all = render(DEFAULT, &Target { config_path: Path::new(&deep), ..target() }, &env).unwrap();
    assert!(all.notes.iter().any(|note| note.what.contains("too long for cron")));
}

#[test]
fn systemd_makes_the_folders() {
    if !Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        eprintln!("SKIPPED: only root can make folders of others");
        return;
    }
    let Some(mut command) = judge("systemd-tmpfiles") else { return };
    let (folder, root) = (written(&odd()), tempfile::tempdir().unwrap());
    for path in ["etc", "var/log", "var/lib"] {
        fs::create_dir_all(root.path().join(path)).unwrap();
    }
    fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nada:x:1000:1000::/:/bin/sh\n").unwrap();
    fs::write(root.path().join("etc/group"), "root:x:0:\nada:x:1000:\n").unwrap();
    command.arg("--create").arg(format!("--root={}", root.path().display()));
    let (good, printed) = verdict(command.arg(folder.path().join("tmpfiles.d/cleanup.conf")));
    assert!(good && printed.is_empty(), "{printed}");
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap();
    for (path, rights) in [("var/lib/cleanup", 0o700), ("var/log/cleanup.log", 0o640)] {
        assert_eq!((mode(path).permissions().mode() & 0o777, mode(path).uid()), (rights, 1000), "{path}");
    }
}

/// What cron does to a command before the shell sees it: `\%` becomes `%`.
#[test]
fn a_shell_reads_the_paths_out_of_the_crontab_as_they_are() {
    let text = "[files.out]\nroot = \"out\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nevery = \"1h\"\n";
    let config_path = "/srv/it's 100% \"mine\" & $HOME;/cleanup.toml";
    let all = render(text, &Target { config_path: Path::new(config_path), ..target() }, &env).unwrap();
    let texts = texts(&all);
    let line = texts["cron/crontab"].lines().find(|line| line.starts_with("0 * * * * ")).unwrap();
    let command = line["0 * * * * ".len()..].replace("\\%", "%");
    assert!(!line.replace("\\%", "").contains('%'), "{line}");
    let (command, _) = command.split_once(" >> ").unwrap();
    let printed =
        Command::new("sh").args(["-c", &command.replacen("/usr/bin/cleanup", "printf '%s\\n'", 1)]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&printed.stdout), format!("sweep\nout\n--config\n{config_path}\n"));
}

#[test]
fn kubernetes_takes_the_manifests() {
    for all in [rendered(DEFAULT), odd()] {
        let folder = written(&all);
        for file in all.files.iter().filter(|file| file.path.starts_with("k8s/")) {
            let Some(mut command) = judge("kubernetes-validate") else { return };
            let (good, printed) = verdict(command.arg("--strict").arg(folder.path().join(&file.path)));
            assert!(good, "{}: {printed}", file.path);
        }
    }
}

#[test]
fn hadolint_has_nothing_to_say_about_the_dockerfile() {
    for all in [rendered(DEFAULT), odd()] {
        let Some(mut command) = judge("hadolint") else { return };
        let folder = written(&all);
        assert_eq!(verdict(command.arg(folder.path().join("container/Dockerfile"))), (true, String::new()));
    }
}

#[test]
fn promtool_finds_that_the_alerts_fire_when_they_should() {
    let folder = written(&rendered(DEFAULT));
    for (what, file) in [("check", "cleanup.rules.yml"), ("test", "cleanup.rules.test.yml")] {
        let Some(mut command) = judge("promtool") else { return };
        let (good, printed) =
            verdict(command.args([what, "rules", file]).current_dir(folder.path().join("prometheus")));
        assert!(good, "{printed}");
    }
}

#[test]
fn logrotate_takes_its_file() {
    let folder = written(&rendered(DEFAULT));
    let Some(mut command) = judge("logrotate") else { return };
    let state = folder.path().join("state");
    let (good, printed) =
        verdict(command.arg("--debug").arg("--state").arg(state).arg(folder.path().join("logrotate/cleanup")));
    assert!(good && !printed.contains("error"), "{printed}");
}

#[test]
fn a_parser_reads_the_yaml() {
    for all in [rendered(DEFAULT), odd()] {
        for (path, text) in texts(&all) {
            if path.ends_with("yaml") || path.ends_with("yml") {
                let documents: Vec<Value> =
                    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{path}: {error}"));
                assert!(documents.iter().all(Value::is_object), "{path}");
            }
        }
    }
}

#[test]
fn the_config_map_holds_the_configuration_byte_for_byte() {
    let strange = format!("{DEFAULT}# tab\t, trailing blanks  \n# \u{e4} \u{1F9F9}\n\n");
    for text in [DEFAULT, &strange, DEFAULT.trim_end(), &format!("  {DEFAULT}"), &DEFAULT.replace('\n', "\r\n")] {
        let all = rendered(text);
        let manifest: Value = serde_saphyr::from_str(texts(&all)["k8s/configmap.yaml"]).unwrap();
        assert_eq!(manifest["data"]["cleanup.toml"].as_str(), Some(text));
    }
}

#[test]
fn a_sweep_that_finds_another_at_it_fails_no_job() {
    let all = rendered(DEFAULT);
    for (path, text) in texts(&all).iter().filter(|(path, _)| path.contains("cronjob")) {
        let job: Value = serde_saphyr::from_str(text).unwrap();
        let rules = &job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"];
        assert_eq!(rules[0]["action"], "Ignore", "{path}");
        assert_eq!(rules[0]["onExitCodes"]["values"][0], 75, "{path}");
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never", "{path}: a failure policy asks for it");
        let container = &pod["containers"][0];
        assert_eq!(rules[0]["onExitCodes"]["containerName"], container["name"], "{path}");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{path}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{path}");
    }
}
