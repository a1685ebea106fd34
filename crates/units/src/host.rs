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
        "# Belongs into /etc/tmpfiles.d; `systemd-tmpfiles --create cleanup.conf` makes what is missing now, and each start\n\
         # of the machine does so later. Nothing here is ever removed by age.\n\
         f {LOG} 0640 {user} {user} -\n"
    );
    if let Some(state) = &site.state {
        folders += &format!(
            "# What was promised to be kept, and what past runs did.\nd {} 0700 {user} {user} -\n",
            unit_word(state)
        );
    }
    rendered.add("tmpfiles.d/cleanup.conf", &folders);
    rendered.add(
        "logrotate/cleanup",
        &format!(
            "# Belongs into /etc/logrotate.d. Cron opens the log anew for each run, so nothing has to be told.\n\
             {LOG} {{\n    \
                 monthly\n    \
                 rotate 6\n    \
                 maxsize 10M\n    \
                 compress\n    \
                 delaycompress\n    \
                 missingok\n    \
                 notifempty\n    \
                 create 0640 {user} {user}\n\
             }}\n"
        ),
    );
}
