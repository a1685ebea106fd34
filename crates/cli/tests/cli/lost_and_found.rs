//! The file system's own `lost+found` is no error to those who may not enter it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;

use crate::world::{DAY, NOBODY, World};

struct Unmounts(PathBuf);

impl Drop for Unmounts {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_mount_with_a_lost_and_found_is_swept_by_an_ordinary_user_without_an_error() {
    for more in ["remove_empty_dirs = true\nrecursive = true", "unit = \"directory\""] {
        let world = World::new();
        world.write(
            "cleanup.toml",
            &format!(
                "[state]\nurl = \"none\"\n[files.out]\nroot = \"out\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n{more}\n"
            ),
        );
        fs::create_dir(world.path("out")).unwrap();
        let Some(mut command) = world.command_as_nobody(&[]) else { return };
        let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(world.path("out")).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("SKIPPED: this process may not mount");
            return;
        }
        let _unmounts = Unmounts(world.path("out"));
        chown(world.path("out"), Some(NOBODY), Some(NOBODY)).unwrap();
        fs::create_dir(world.path("out/lost+found")).unwrap();
        fs::set_permissions(world.path("out/lost+found"), fs::Permissions::from_mode(0o700)).unwrap();
        world.file("out/job/old.tmp", DAY);
        for path in ["out/job", "out/job/old.tmp"] {
            chown(world.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let ran = world.ran(command.output().unwrap());
        ran.exits(0);
        assert!(!world.path("out/job/old.tmp").exists(), "{ran}");
        assert!(world.path("out/lost+found").exists());
    }
}
