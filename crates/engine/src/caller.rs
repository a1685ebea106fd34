//! Who asks, where that is a user of this machine.

/// The user who runs this process; under `sudo`, the one who called it.
pub fn caller() -> String {
    let user = rustix::process::geteuid();
    let behind = std::env::var("SUDO_USER").ok().filter(|name| user.is_root() && is_name(name));
    match behind {
        Some(name) => format!("{name} (sudo)"),
        None => user_name(user.as_raw()),
    }
}

/// The name of a user in `/etc/passwd`, or `uid 1234` where it has none. Other places of users are asked over sockets,
/// which the units of file policies may not open.
pub fn user_name(uid: u32) -> String {
    let users = std::fs::read("/etc/passwd").unwrap_or_default();
    name_in(&String::from_utf8_lossy(&users), uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// Lines of `name:password:uid:…`.
fn name_in(users: &str, uid: u32) -> Option<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let (name, _, found) = (fields.next()?, fields.next()?, fields.next()?);
        (found.parse() == Ok(uid) && is_name(name)).then(|| name.to_owned())
    };
    users.lines().find_map(of)
}

/// Whether it can be the name of a user: it is shown, and anybody can set a variable.
fn is_name(name: &str) -> bool {
    let is_plain = |character: char| !character.is_control() && !character.is_whitespace();
    (1..=256).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_from_its_line() {
        let users = "root:x:0:0::/root:/bin/sh\n\n# 7\nno:x\n:x:7:7::/:\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_in(users, 1000).as_deref(), Some("alice"));
        assert_eq!(name_in(users, 7), None);
    }

    #[test]
    fn a_user_without_a_name_is_a_number() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_000_000_001), "uid 4000000001");
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(is_name("alice") && is_name("svc-web_1$"));
        assert!(!is_name("") && !is_name("a\nb") && !is_name("a b") && !is_name(&"x".repeat(300)));
    }
}
