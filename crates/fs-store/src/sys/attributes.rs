//! Who may do what in a folder: owner, group, permissions, and its extended attributes, which is where access control
//! lists are kept.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;

/// The lists themselves: who may do what in the folder, and what is made in it begins with.
const ACLS: [&CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

/// How many bytes of extended attributes are remembered of one folder, names and values together.
const MAX_EXTENDED: usize = 16 * 1024;

/// What the kernel gives at most for one list, or for one value.
const ROOM: usize = 64 * 1024;

/// Bits of a mode.
const SET_GROUP: u32 = 0o2000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// `None` where this process cannot tell; see [`Ids`].
    pub(crate) uid: Option<u32>,
    /// Likewise.
    pub(crate) gid: Option<u32>,
    /// The permission bits alone.
    pub(crate) mode: u32,
    pub(crate) extended: Extended,
    /// Whether there was an access control list that is not among those.
    pub(crate) lacks_acl: bool,
}

impl Attributes {
    /// Of a folder that is open for reading.
    pub(crate) fn of(dir: impl AsFd, ids: Ids) -> Result<Self, Errno> {
        let dir = dir.as_fd();
        let found = rustix::fs::fstat(dir)?;
        let (extended, lacks_acl) = extended(dir)?;
        Ok(Self {
            uid: ids.told(found.st_uid),
            gid: ids.told(found.st_gid),
            mode: found.st_mode & 0o7777,
            extended,
            lacks_acl,
        })
    }

    /// Gives them to a folder that was just made, for its owner alone. What this user may not give back is left out, and
    /// nobody gets more than they had for that: the folder is rather too narrow. Any other trouble is an error.
    pub(crate) fn give(&self, dir: impl AsFd) -> Result<(), Errno> {
        let dir = dir.as_fd();
        let (uid, gid) = (self.uid.map(Uid::from_raw), self.gid.map(Gid::from_raw));
        // To be in the group is enough for that.
        match rustix::fs::fchown(dir, uid, gid) {
            Err(error) if is_refused(error) => allowed(rustix::fs::fchown(dir, None, gid))?,
            owned => owned?,
        }
        for acl in ACLS {
            // From the folder above.
            match rustix::fs::fremovexattr(dir, acl) {
                Err(Errno::NODATA) => {}
                removed => allowed(removed)?,
            }
        }
        let mut has_acls = !self.lacks_acl;
        for (name, value) in &self.extended {
            let set = rustix::fs::fsetxattr(dir, &**name, value, XattrFlags::empty());
            if let Err(error) = set
                && is_passing(error)
            {
                return Err(error);
            }
            has_acls &= set.is_ok() || !ACLS.contains(&&**name);
        }
        let found = rustix::fs::fstat(dir)?;
        let mode = self.narrowed(self.uid == Some(found.st_uid), self.gid == Some(found.st_gid), has_acls);
        let give = |mode| rustix::fs::fchmod(dir, Mode::from_raw_mode(mode));
        // A unit of systemd may be forbidden to set the special bits. On a file system without permissions the mount says
        // who may do what, and it said so before.
        match give(mode) {
            Err(error) if is_refused(error) => allowed(give(mode & 0o777)),
            given => given,
        }
    }

    /// The permissions that give nobody more than they had, where not everything could be given back.
    fn narrowed(&self, has_owner: bool, has_group: bool, has_acls: bool) -> u32 {
        let (owner, mut group, mut others) = (self.mode >> 6 & 7, self.mode >> 3 & 7, self.mode & 7);
        let mut special = self.mode & 0o7000;
        if !has_acls {
            // A list may have denied to some what the others had.
            (group, others) = (0, 0);
        }
        if !has_group {
            // Who was in the group is one of the others now, and those in the new group were.
            (group, others) = (0, others & group);
            special &= !SET_GROUP;
        }
        if !has_owner {
            // The owner that it had is in the group now, or one of the others.
            (group, others) = (group & owner, others & owner);
        }
        special | owner << 6 | group << 3 | others
    }
}

/// Whether it is this user that may not do something, or this file system that cannot.
fn is_refused(error: Errno) -> bool {
    matches!(error, Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::DQUOT)
}

fn allowed(done: Result<(), Errno>) -> Result<(), Errno> {
    done.or_else(|error| if is_refused(error) { Ok(()) } else { Err(error) })
}

/// Which numbers of users and groups this process can tell. In a user namespace (`PrivateUsers=` in a unit of systemd)
/// most others look like `nobody`, and would belong to `nobody` if they were given back outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// All.
    All,
    /// All but that of `nobody`.
    Mapped,
}

impl Ids {
    /// What the kernel shows of users and groups that are not in the namespace.
    const OVERFLOW: u32 = 65534;

    /// Of this process.
    pub(crate) fn here() -> Self {
        let is_whole = |map: &str| {
            std::fs::read_to_string(map).is_ok_and(|text| text.split_whitespace().eq(["0", "0", "4294967295"]))
        };
        if is_whole("/proc/self/uid_map") && is_whole("/proc/self/gid_map") { Self::All } else { Self::Mapped }
    }

    fn told(self, id: u32) -> Option<u32> {
        (self == Self::All || id != Self::OVERFLOW).then_some(id)
    }
}

/// By name.
type Extended = Vec<(CString, Vec<u8>)>;

/// The extended attributes of a folder, and whether an access control list is missing among them.
fn extended(dir: BorrowedFd<'_>) -> Result<(Extended, bool), Errno> {
    let (mut list, mut value) = (vec![0_u8; ROOM], vec![0_u8; ROOM]);
    let length = match rustix::fs::flistxattr(dir, &mut list) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => 0,
        Err(error) if is_passing(error) => return Err(error),
        Err(_) => return Ok((Vec::new(), true)),
    };
    let (mut all, mut bytes, mut lacks_acl) = (Vec::new(), 0, false);
    for name in list[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let read = rustix::fs::fgetxattr(dir, name, &mut value);
        match read {
            Ok(length) if bytes + name.count_bytes() + length <= MAX_EXTENDED => {
                bytes += name.count_bytes() + length;
                all.push((name.to_owned(), value[..length].to_vec()));
            }
            Err(error) if is_passing(error) => return Err(error),
            _ => lacks_acl |= ACLS.contains(&name),
        }
    }
    Ok((all, lacks_acl))
}

/// Whether the next try may succeed: then it is not said for good that something is missing.
fn is_passing(error: Errno) -> bool {
    matches!(error, Errno::IO | Errno::INTR | Errno::NOMEM | Errno::STALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_user_namespace_nobody_is_somebody_else() {
        assert_eq!((Ids::All.told(65534), Ids::Mapped.told(65534), Ids::Mapped.told(0)), (Some(65534), None, Some(0)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        std::fs::create_dir(&path).unwrap();
        let dir = std::fs::File::open(&path).unwrap();
        let unknown = Attributes { uid: None, gid: None, mode: 0o2775, extended: Vec::new(), lacks_acl: false };
        unknown.give(&dir).unwrap();
        assert_eq!(rustix::fs::fstat(&dir).unwrap().st_mode & 0o7777, 0o705, "whose group it was is not known");
    }

    #[test]
    fn nobody_gets_more_than_they_had() {
        let narrowed = |mode, owner, group, acls| {
            let it = Attributes { uid: Some(1), gid: Some(1), mode, extended: Vec::new(), lacks_acl: false };
            it.narrowed(owner, group, acls)
        };
        for mode in 0..0o10000 {
            assert_eq!(narrowed(mode, true, true, true), mode, "what can be given back is");
        }
        assert_eq!(narrowed(0o2775, true, false, true), 0o705);
        assert_eq!(narrowed(0o2770, true, false, true), 0o700);
        assert_eq!(narrowed(0o0707, true, false, true), 0o700, "the group was kept out");
        assert_eq!(narrowed(0o0755, true, true, false), 0o700, "a list may have kept somebody out");
        assert_eq!(narrowed(0o0577, false, true, true), 0o555);
        assert_eq!(narrowed(0o1777, false, false, true), 0o1707);
    }
}
