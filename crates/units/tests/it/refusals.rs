//! What no file could carry is refused by name, before anything is rendered.

use std::path::Path;

use cleanup_units::Target;

use crate::support::{DEFAULT, policy, refused, target};

fn check(text: &str, target: &Target<'_>, wanted: &[&str]) {
    let error = refused(text, target);
    for wanted in wanted {
        assert!(error.contains(wanted), "{error}\n\nexpected: {wanted}");
    }
}

#[test]
fn paths_that_some_file_cannot_carry() {
    for (root, wanted) in [
        (r"/srv/a\nb", "'\\n'"),
        (r"/srv/a\u001bb", "'\\u{1b}'"),
        (r"/srv/a\\b", "backslash"),
        ("/srv/link/../other", "`..`"),
    ] {
        check(&policy("out", root, "every = \"1h\""), &target(), &["the root of out", wanted]);
    }
}

#[test]
fn targets_that_make_no_sense() {
    let with = |config_path: &'static str, prefix: &'static str, user: &'static str| Target {
        config_path: Path::new(config_path),
        prefix: Path::new(prefix),
        user,
        uid: 33,
        image: cleanup_units::IMAGE,
    };
    for (target, wanted) in [
        (with("cleanup.toml", "/usr/bin", "www-data"), "expected an absolute path"),
        (with("/srv/cleanup.toml", "bin", "www-data"), "expected an absolute path"),
        (with("/srv/cleanup.toml", "/opt/my bin", "www-data"), "' '"),
        (with("/srv/cleanup.toml", "/opt/$HOME", "www-data"), "'$'"),
        (with("/srv/cleanup.toml", "/usr/bin", "root"), "name the user that owns the files"),
        (with("/srv/cleanup.toml", "/usr/bin", "www data"), "not a user name"),
        (with("/srv/cleanup.toml", "/usr/bin", ""), "not a user name"),
    ] {
        check(DEFAULT, &target, &[wanted]);
    }
}

#[test]
fn a_configuration_path_that_is_not_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xff/cleanup.toml"));
    check(DEFAULT, &Target { config_path: path, ..target() }, &["not UTF-8"]);
}

#[test]
fn a_schedule_that_programs_read_differently() {
    check(&policy("out", "out", "cron = \"0 0 */2 * 1\""), &target(), &["`cron` of out", "`1-31/2`"]);
}

#[test]
fn a_password_in_the_configuration() {
    let text = DEFAULT.replace("${DATABASE_URL}", "postgresql://app:hunter2@db/app");
    let error = refused(&text, &target());
    assert!(error.contains("`url` of tutor-sessions") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_configuration_in_which_nothing_is_enabled() {
    check(&policy("out", "out", "enabled = false"), &target(), &["no enabled policy"]);
}
