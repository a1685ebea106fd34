//! What a unit may do, as narrow as its policy allows.
//!
//! The file system is read-only but for what the policy names; there are no capabilities, no devices, no new namespaces
//! and no system calls beyond those of an ordinary service; files need no network at all. What is *not* closed, and why:
//!
//! - `ProcSubset=pid` would hide the boot id, by which the clock guard tells a reboot from a clock that jumped.
//! - `ProtectHome=` and `PrivateTmp=` give way where the policy's own root lies there.
//! - a missing root is no error of the program, so it must be none of the unit either: hence the `-` before each path.

use crate::quote::unit_word;
use crate::site::Site;

/// What a unit needs of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs<'a> {
    /// Folders that it writes, besides the state folder.
    pub(crate) writes: Vec<&'a str>,
    pub(crate) network: Network,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// None at all.
    Closed,
    /// Sockets, and packets to and from this machine alone.
    Local,
    /// Whatever the network offers.
    Open,
}

impl Network {
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open, _) | (_, Self::Open) => Self::Open,
            (Self::Local, _) | (_, Self::Local) => Self::Local,
            _ => Self::Closed,
        }
    }
}

/// The settings of `[Service]` that confine it.
pub(crate) fn settings(site: &Site, needs: &Needs<'_>) -> String {
    let mut text = format!("User={user}\nGroup={user}\nUMask=0077\n\n", user = site.user);
    text += "# Writable paths; everything else is read-only.\nProtectSystem=strict\n";
    for path in &needs.writes {
        text += &format!("ReadWritePaths={}\n", unit_word(&format!("-{path}")));
    }
    if let Some(folder) = &site.audit {
        text += &format!("ReadWritePaths={}\n", unit_word(&format!("-{folder}")));
    }
    match (site.state_of_service(), &site.state) {
        (Some(name), _) => text += &format!("StateDirectory={}\nStateDirectoryMode=0700\n", unit_word(name)),
        (None, Some(path)) => text += &format!("ReadWritePaths={}\n", unit_word(&format!("-{path}"))),
        (None, None) => {}
    }
    let seen = || {
        needs
            .writes
            .iter()
            .copied()
            .chain([site.config_path.as_str(), &site.prefix])
            .chain(site.state.as_deref())
            .chain(site.audit.as_deref())
    };
    let home = if seen().any(|path| lies_in(path, &["/home", "/root", "/run/user"])) { "read-only" } else { "yes" };
    let temporary = if seen().any(|path| lies_in(path, &["/tmp", "/var/tmp"])) { "no" } else { "yes" };
    text += &format!("ProtectHome={home}\nPrivateTmp={temporary}\n");
    text += REST;
    text += network(needs.network);
    text
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Closed => "PrivateNetwork=yes\nRestrictAddressFamilies=none\nIPAddressDeny=any\n",
        Network::Local => {
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nIPAddressDeny=any\nIPAddressAllow=localhost\n"
        }
        Network::Open => "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n",
    }
}

/// The same for every unit.
const REST: &str = "PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
DevicePolicy=closed
KeyringMode=private
RemoveIPC=yes

# Privileges and system calls.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

fn lies_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| std::path::Path::new(path).starts_with(folder))
}
