//! What a machine needs besides: the folders that must be there, and the log that must not grow for ever.

use crate::Rendered;
use crate::quote::unit_word;
use crate::site::Site;

/// Where cron's lines write to; the journal keeps what units print.
pub(crate) const LOG: &str = "/var/log/cleanup.log";

/// Adds `tmpfiles.d/cleanup.conf` and `logrotate/cleanup`.
pub(crate) fn render(site: &Site, rendered: &mut Rendered) {
    let user = &site.user;
    let mut folders = format!(
        "# Install in /etc/tmpfiles.d. `systemd-tmpfiles --create cleanup.conf` creates what is missing now, and \
         every boot\n# does so later. Nothing here is ever removed by age.\nf {LOG} 0640 {user} {user} -\n"
    );
    if let Some(state) = &site.state {
        folders += &format!("# The state folder: holds and past runs.\nd {} 0700 {user} {user} -\n", unit_word(state));
    }
    rendered.add("tmpfiles.d/cleanup.conf", &folders);
    rendered.add(
        "logrotate/cleanup",
        &format!(
            "# Install in /etc/logrotate.d. Every run opens the log again, so no process has to be notified.\n{LOG} \
             {{\n    monthly\n    rotate 6\n    maxsize 10M\n    compress\n    delaycompress\n    missingok\n    \
             notifempty\n    create 0640 {user} {user}\n}}\n"
        ),
    );
}
