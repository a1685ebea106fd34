//! One configuration drives every scheduler, and a changed schedule changes its own files alone.

use std::collections::BTreeSet;

use crate::support::{DEFAULT, odd, policy, rendered, texts};

#[test]
fn a_changed_interval_changes_its_timer_the_cron_files_its_cronjob_and_the_config_map() {
    let before = rendered(DEFAULT);
    let changed = DEFAULT.replacen("every    = \"30m\"", "every    = \"15m\"", 1);
    assert_ne!(changed, DEFAULT);
    let after = rendered(&changed);
    let (before, after) = (texts(&before), texts(&after));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let different: BTreeSet<&str> = before.keys().copied().filter(|path| before[path] != after[path]).collect();
    let expected = [
        "cron/cleanup",
        "cron/crontab",
        "k8s/configmap.yaml",
        "k8s/cronjob-temp-svgs.yaml",
        "systemd/cleanup-sweep-temp-svgs.timer",
    ];
    assert_eq!(different, expected.into());
}

/// The first application's crontab had three lines to choose from: every hour, every six hours with other thresholds,
/// and every half an hour for the icons.
#[test]
fn the_three_schedules_of_the_first_application_come_out_of_three_small_configurations() {
    for (every, age, times) in
        [("1h", "24h", "0 * * * *"), ("6h", "24h", "0 */6 * * *"), ("30m", "30m", "*/30 * * * *")]
    {
        let policies = ["visualization-output", "temp-svgs"].map(|name| {
            policy(name, &format!("storage/{name}"), &format!("every = \"{every}\""))
                .replace("max_age = \"1h\"", &format!("max_age = \"{age}\""))
        });
        let all = rendered(&policies.concat());
        let lines = |path: &str| -> Vec<String> {
            let jobs =
                texts(&all)[path].lines().filter(|line| line.starts_with(|c: char| c == '*' || c.is_ascii_digit()));
            jobs.map(|line| line.split(" || ").next().unwrap().to_owned()).collect()
        };
        let command = "/usr/bin/cleanup sweep visualization-output temp-svgs --config /srv/app/cleanup.toml \
                       >> /var/log/cleanup.log 2>&1";
        assert_eq!(lines("cron/crontab"), [format!("{times} {command}")]);
        assert_eq!(lines("cron/cleanup"), [format!("{times} www-data {command}")]);
    }
}

#[test]
fn either_the_server_or_the_timers_drive_the_schedules() {
    let all = rendered(DEFAULT);
    let texts = texts(&all);
    assert!(
        texts["systemd/cleanup-sweep.target"].contains("\nConflicts=cleanup-server.service cleanup-server.socket\n")
    );
    assert!(texts["systemd/cleanup-server.service"].contains("\nConflicts=cleanup-sweep.target\n"));
    let timers = texts.keys().filter(|path| path.ends_with(".timer"));
    for timer in timers {
        let name = timer.strip_prefix("systemd/").unwrap();
        assert!(texts["systemd/cleanup-sweep.target"].contains(name), "{name}");
        assert!(texts[timer].contains("\nPartOf=cleanup-sweep.target\n"), "{name}");
    }
}

#[test]
fn a_disabled_policy_has_no_files_and_one_without_a_schedule_has_a_note() {
    let odd = odd();
    assert!(!odd.files.iter().any(|file| file.path.contains("-off.")));
    assert!(!odd.files.iter().any(|file| file.path.contains("-asked.")));
    assert!(odd.notes.iter().any(|note| note.about == "asked"));
    assert!(!odd.notes.iter().any(|note| note.about == "off"));
}

#[test]
fn files_need_no_network_and_sessions_get_what_their_database_needs() {
    let odd = odd();
    let texts = texts(&odd);
    let unit = |name: &str| texts[format!("systemd/cleanup-sweep-{name}.service").as_str()];
    for name in ["renders", "scratch_1", "thumbs", "beside", "lite"] {
        assert!(unit(name).contains("\nPrivateNetwork=yes\nRestrictAddressFamilies=none\n"), "{name}");
    }
    assert!(unit("local").contains("\nIPAddressDeny=any\nIPAddressAllow=localhost\n"));
    assert!(unit("remote").contains("\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n"));
    assert!(!unit("remote").contains("IPAddressDeny") && !unit("remote").contains("PrivateNetwork"));
}

#[test]
fn a_root_in_a_home_or_a_temporary_folder_is_seen_as_it_is() {
    let shown = |root: &str| {
        let all = rendered(&policy("out", root, "every = \"1h\""));
        let text = texts(&all)["systemd/cleanup-sweep-out.service"].to_owned();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        (value("ProtectHome="), value("PrivateTmp="))
    };
    for (root, home, temporary) in [
        ("/srv/out", "yes", "yes"),
        ("/home/ada/out", "read-only", "yes"),
        ("/root/out", "read-only", "yes"),
        ("/run/user/1000/out", "read-only", "yes"),
        ("/tmp/out", "yes", "no"),
        ("/var/tmp", "yes", "no"),
        ("/var/tmpfiles", "yes", "yes"),
    ] {
        assert_eq!(shown(root), (home.to_owned(), temporary.to_owned()), "{root}");
    }
}
