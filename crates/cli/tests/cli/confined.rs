//! The restrictions of a rendered unit do not break the sweep: the real binary, under the same limits.
//!
//! There is no booted systemd here, so its part is played with the kernel's own means, all of them read out of the unit
//! file: the user, no capabilities, no new privileges, a user namespace, no network, a file system that is read-only but
//! for `ReadWritePaths=`, and a filter of the system calls of `SystemCallFilter=`, which kills instead of refusing. What
//! is not played: `PrivateDevices=`, `ProtectProc=` and the `ProtectKernel…` family.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};

use cleanup_test_webhook::{Answer, Webhook};

use crate::world::{HOUR, NOBODY, World, am_root};

/// Makes everything read-only but the paths given, then becomes an ordinary user without any rights.
const PLAY_SYSTEMD: &str = r#"
set -e
uid=$1; shift
mount --make-rprivate /
while [ "$1" != -- ]; do
    [ ! -e "$1" ] || mount --bind "$1" "$1"
    writable="$writable$1
"
    shift
done
shift
cut -d ' ' -f 5 /proc/self/mountinfo | while read -r escaped; do
    mounted=$(printf '%b' "$(printf %s "$escaped" | sed 's/\\/\\0/g')")
    case "$mounted" in /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac
    # What another test had mounted may be gone by now.
    [ -e "$mounted" ] || continue
    printf %s "$writable" | grep -qxF -e "$mounted" || mount -o remount,bind,ro "$mounted"
done
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
    unshare --user --map-current-user setpriv --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"#;

/// A world, and the unit of one of its policies.
struct Confined {
    world: World,
    unit: String,
}

impl Confined {
    /// Two roots, of which only the first belongs to the unit; `None` as in `new`.
    fn files() -> Option<Self> {
        let policy = |name: &str| {
            format!("[files.{name}]\nroot = \"my {name}\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\nevery = \"1h\"\n")
        };
        let confined = Self::new(&(policy("out") + &policy("beside")), "cleanup-sweep-out")?;
        for root in ["my out", "my beside"] {
            confined.world.file(format!("{root}/old.tmp"), 2 * HOUR);
            confined.world.file(format!("{root}/young.tmp"), HOUR / 2);
            chown(confined.world.path(root), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Some(confined)
    }

    /// `None`, said aloud, where this cannot be played; in CI it must be.
    fn new(config: &str, unit: &str) -> Option<Self> {
        let possible = am_root() && unshares();
        if !possible {
            let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
            assert!(!(in_ci && am_root()), "root may not make namespaces here, and nothing is skipped in CI");
            eprintln!("SKIPPED: only root, where namespaces are allowed, can play systemd");
            return None;
        }
        let world = World::new();
        world.write("cleanup.toml", config);
        fs::create_dir(world.path(".cleanup")).unwrap();
        chown(world.path(".cleanup"), Some(NOBODY), Some(NOBODY)).unwrap();
        let programs = world.path("bin");
        fs::create_dir(&programs).unwrap();
        let confined = Path::new(env!("CARGO_BIN_EXE_cleanup")).with_file_name("examples").join("confined");
        // Not by ourselves: a test that forks while we write would inherit the descriptor, and "text file busy" follow.
        let copied =
            Command::new("cp").arg(env!("CARGO_BIN_EXE_cleanup")).arg(confined).arg(&programs).status().unwrap();
        assert!(copied.success());

        let prefix = programs.to_str().unwrap();
        world
            .ran(world.command(&["units", "--out", "u", "--user", "nobody", "--prefix", prefix]).output().unwrap())
            .exits(0);
        let unit = fs::read_to_string(world.path(format!("u/systemd/{unit}.service"))).unwrap();
        Some(Self { world, unit })
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.unit.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// Runs the unit's own command, or another one of the same binary, under the unit's limits.
    fn run(&self, command: &[&str], database: Option<&str>) -> Output {
        let calls = self.world.path("calls");
        fs::write(&calls, self.system_calls()).unwrap();
        fs::set_permissions(&calls, fs::Permissions::from_mode(0o644)).unwrap();
        let writable = self.values("ReadWritePaths").map(|path| path.trim_matches('"').trim_start_matches('-'));
        let network = self.values("PrivateNetwork").any(|value| value == "yes").then_some("--net");
        Command::new("unshare")
            .args(["--mount", "--ipc", "--uts"])
            .args(network)
            .args(["sh", "-c", PLAY_SYSTEMD, "sh", &NOBODY.to_string()])
            .args(writable)
            .arg("--")
            .arg(self.world.path("bin/confined"))
            .arg(calls)
            .args(command)
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(database.map(|url| ("DATABASE_URL", url)))
            .output()
            .unwrap()
    }

    fn exec_start(&self) -> Vec<&str> {
        let line = self.values("ExecStart").next().unwrap();
        line.split(' ').map(|word| word.trim_matches('"')).collect()
    }

    /// The names that `SystemCallFilter=` comes to, after `RestrictAddressFamilies=none`.
    fn system_calls(&self) -> String {
        let mut calls = BTreeSet::new();
        for line in self.values("SystemCallFilter") {
            let (remove, sets) = line.strip_prefix('~').map_or((false, line), |sets| (true, sets));
            for set in sets.split(' ') {
                for call in members(set) {
                    if remove {
                        calls.remove(&call)
                    } else {
                        calls.insert(call)
                    };
                }
            }
        }
        assert!(calls.len() > 100, "{calls:?}");
        calls.remove("socket");
        let families: Vec<&str> = self.values("RestrictAddressFamilies").flat_map(|line| line.split(' ')).collect();
        assert!(!families.is_empty());
        if families != ["none"] {
            let number = |family: &&str| match *family {
                "AF_UNIX" => "1",
                "AF_INET" => "2",
                "AF_INET6" => "10",
                other => panic!("{other}"),
            };
            calls.insert(format!("socket {}", families.iter().map(number).collect::<Vec<_>>().join(" ")));
        }
        calls.into_iter().collect::<Vec<_>>().join("\n")
    }
}

/// The calls of a set as systemd defines it.
fn members(set: &str) -> Vec<String> {
    let listed = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", set]).output().unwrap();
    assert!(listed.status.success(), "{set}: {}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).unwrap();
    let names = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.flat_map(|name| if name.starts_with('@') { members(name) } else { vec![name.to_owned()] }).collect()
}

fn unshares() -> bool {
    let try_out = "mount --make-rprivate / && setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-current-user true";
    Command::new("unshare")
        .args(["--mount", "--net", "--ipc", "--uts", "sh", "-c", try_out])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_sweep_removes_files_under_the_limits_of_its_unit() {
    let Some(confined) = Confined::files() else { return };
    let output = confined.run(&confined.exec_start(), None);
    let ran = confined.world.ran(output);
    assert_eq!(ran.is_fine(), "Removed 1 file, freed 4.1 kB.\n");
    assert_eq!(confined.world.left("my out"), ["young.tmp"]);
    assert_eq!(confined.world.left("my beside"), ["old.tmp", "young.tmp"]);
    assert!(confined.world.path(".cleanup/state.db").exists(), "and it is remembered");

    // Once more, now with a memory that is there.
    confined.world.file("my out/another.tmp", 2 * HOUR);
    let ran = confined.world.ran(confined.run(&confined.exec_start(), None));
    assert_eq!(ran.is_fine(), "Removed 1 file, freed 4.1 kB.\n");
}

#[test]
fn files_go_into_quarantine_and_come_back_under_the_limits_of_a_unit() {
    let Some(confined) = Confined::files() else { return };
    let config = fs::read_to_string(confined.world.path("cleanup.toml")).unwrap();
    let quarantining = config.replace("every = \"1h\"\n", "every = \"1h\"\ndispose = \"quarantine\"\n");
    confined.world.write("cleanup.toml", &quarantining);
    let ran = confined.world.ran(confined.run(&confined.exec_start(), None));
    assert_eq!(ran.is_fine(), "Moved 1 file into quarantine, 4.1 kB.\n");
    assert_eq!(confined.world.left("my out"), ["young.tmp"]);

    let command = confined.exec_start();
    let restore =
        [command[0], "--config", confined.world.path("cleanup.toml").to_str().unwrap(), "restore"].map(str::to_owned);
    let ran = confined.world.ran(confined.run(&restore.each_ref().map(String::as_str), None));
    ran.is_fine();
    assert_eq!(confined.world.left("my out"), ["old.tmp", "young.tmp"]);
    assert_eq!(confined.world.ran(confined.run(&confined.exec_start(), None)).is_fine(), "", "held");
}

#[test]
fn the_limits_are_real() {
    let Some(confined) = Confined::files() else { return };
    let mut command = confined.exec_start();
    assert_eq!(command[2], "out");
    command[2] = "beside";
    let ran = confined.world.ran(confined.run(&command, None));
    ran.exits(3);
    assert!(ran.err.contains("old.tmp") && ran.err.to_lowercase().contains("read-only"), "{ran}");
    assert_eq!(confined.world.left("my beside"), ["old.tmp", "young.tmp"]);

    // A call that is not on the list ends the program.
    let output = confined.run(&["/usr/bin/mount", "-t", "tmpfs", "none", "/mnt"], None);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(31), "{output:?}");
}

#[test]
fn a_sweep_removes_sessions_under_the_limits_of_its_unit() {
    let config = "[sessions.logins]\nurl = \"${DATABASE_URL}\"\ntable = \"logins\"\nid_column = \"id\"\n\
                  activity_column = \"seen\"\nmax_idle = \"2h\"\nevery = \"1h\"\n";
    let Some(confined) = Confined::new(config, "cleanup-sweep-logins") else { return };
    let server = cleanup_test_postgres::shared().unwrap();
    let database = server.create_database().unwrap();
    let table = "create table logins (id text primary key, seen timestamptz not null); create index on logins (seen); \
                 insert into logins values ('old', now() - interval '3 hours'), ('live', now());";
    server.psql(&database, table).unwrap();
    let ran = confined.world.ran(confined.run(&confined.exec_start(), Some(&server.url(&database))));
    assert!(ran.is_fine().starts_with("Removed 1 session"), "{ran}");
    assert_eq!(server.psql(&database, "select id from logins").unwrap().trim(), "live");
}

#[test]
fn the_service_keeps_a_deadline_under_the_limits_of_its_unit() {
    let config = "[files.out]\nroot = \"out\"\ninclude = [\"*.tmp\"]\nmax_age = \"1h\"\nevery = \"1h\"\n";
    let Some(confined) = Confined::new(config, "cleanup-server") else { return };
    let server = Path::new(env!("CARGO_BIN_EXE_cleanup")).with_file_name("cleanup-server");
    if !server.exists() {
        // A whole build has it beside the other one.
        assert!(std::env::var_os("CI").is_none(), "{} is missing, and nothing is skipped in CI", server.display());
        eprintln!("SKIPPED: {} is not built", server.display());
        return;
    }
    assert!(Command::new("cp").arg(server).arg(confined.world.path("bin")).status().unwrap().success());
    let root = confined.world.path("out");
    fs::create_dir(&root).unwrap();
    chown(&root, Some(NOBODY), Some(NOBODY)).unwrap();
    let binary = confined.world.path("bin/cleanup-server").to_str().unwrap().to_owned();
    assert!(confined.exec_start()[0] == binary, "the unit starts it");
    let place = format!("TMPDIR={}", root.display());
    let output = confined.run(&["/usr/bin/env", &place, &binary, "--self-test"], None);
    let ran = confined.world.ran(output);
    assert!(ran.is_fine().ends_with("self-test passed\n"), "{ran}");
}

#[test]
fn messages_are_sent_and_removed_files_handed_on_under_the_limits_of_a_unit() {
    let webhook = Webhook::start(Answer::Status(200)).unwrap();
    let (out, gone) = ("[files.out]\nroot = \"out\"", "[files.gone]\nroot = \"gone\"");
    let rest = "include = [\"*.tmp\"]\nmax_age = \"1h\"\nevery = \"1h\"";
    let notify = format!("[notify]\nwebhook = \"{}\"\ncommand = [\"/bin/cat\"]", webhook.url("/"));
    let config = format!("{out}\n{rest}\n{gone}\n{rest}\n{notify}\nafter = [\"/bin/true\"]\n");
    let Some(confined) = Confined::new(&config, "cleanup-sweep-out") else { return };
    let world = &confined.world;
    world.file("out/old.tmp", 2 * HOUR);
    chown(world.path("out"), Some(NOBODY), Some(NOBODY)).unwrap();
    let list = world.path("out/list").to_str().unwrap().to_owned();
    world.write("cleanup.toml", &config.replace("\"/bin/true\"", &format!("\"/bin/cp\", \"/dev/stdin\", \"{list}\"")));
    // A policy of another unit is broken, and told of; this one hands on what it removed.
    let mut command = confined.exec_start();
    confined.world.ran(confined.run(&command, None)).is_fine();
    let removed = format!("{}\0", world.path("out/old.tmp").display());
    assert_eq!(fs::read_to_string(list).unwrap(), removed);
    command[2] = "gone";
    let ran = confined.world.ran(confined.run(&command, None));
    assert!(!ran.err.contains("not delivered"), "{ran}");
    assert_eq!(webhook.take().len(), 1);
}
