//! Units for systemd: a timer and a service for each policy, or the server.
//!
//! One or the other drives the schedules, never both: `cleanup-sweep.target` pulls the timers in, and it and
//! `cleanup-server.service` conflict. Each policy has a service of its own, because what it may touch differs.

use crate::hardening::{self, Needs, Network};
use crate::quote::{unit_argument, unit_text, unit_word};
use crate::site::{ENVIRONMENT_FILE, Job, Kind, Reach, Secret, Site};
use crate::{Rendered, calendar};

/// Adds the files of `systemd/`.
pub(crate) fn render(site: &Site, rendered: &mut Rendered) {
    let mut timers = Vec::new();
    for (job, schedule) in site.scheduled() {
        let unit = unit(job);
        match calendar::timer(schedule, site.time_zone.as_deref()) {
            Ok(when) => {
                rendered.add(format!("systemd/{unit}.timer"), &timer(job, &when));
                rendered.add(format!("systemd/{unit}.service"), &sweep(site, job));
                if needs_database_drop_in(job) {
                    rendered.add(format!("systemd/{unit}.service.d/database.conf"), DATABASE);
                }
                timers.push(format!("{unit}.timer"));
            }
            Err(why) => rendered.note(&job.name, format!("no timer: {why}")),
        }
    }
    if !timers.is_empty() {
        rendered.add("systemd/cleanup-sweep.target", &target(&timers));
    }
    rendered.add("systemd/cleanup-server.service", &server(site));
    rendered.add("systemd/cleanup-server.socket", &socket(site));
    if site.jobs.iter().any(needs_database_drop_in) {
        rendered.add("systemd/cleanup-server.service.d/database.conf", DATABASE);
    }
}

fn unit(job: &Job) -> String {
    format!("cleanup-sweep-{}", job.name)
}

fn target(timers: &[String]) -> String {
    format!(
        "# Enable this or cleanup-server.service, not both: each runs all policies by their schedules.\n[Unit]\n\
         Description=Timers that sweep all policies\nDocumentation=man:cleanup(1)\nWants={}\n\
         Conflicts=cleanup-server.service cleanup-server.socket\n\n[Install]\nWantedBy=multi-user.target\n",
        timers.join(" ")
    )
}

fn timer(job: &Job, when: &str) -> String {
    format!(
        "[Unit]\nDescription=Timer for sweeping {name}\nDocumentation=man:cleanup(1)\nPartOf=cleanup-sweep.target\n\n\
         [Timer]\n{when}\n[Install]\nWantedBy=cleanup-sweep.target\n",
        name = job.name
    )
}

fn sweep(site: &Site, job: &Job) -> String {
    let what = match &job.kind {
        Kind::Files(root) => format!("files in {root}"),
        Kind::Sessions(_) => "idle sessions".to_owned(),
    };
    let after = if matches!(job.kind, Kind::Sessions(_)) { "After=network.target postgresql.service\n" } else { "" };
    let (needs, environment) = (needs(job), environment(site, matches!(job.kind, Kind::Sessions(Reach::Unknown))));
    format!(
        "[Unit]\nDescription=Sweep {name}: {what}\nDocumentation=man:cleanup(1)\n{after}\n[Service]\nType=oneshot\n\
         ExecStart={prefix}/cleanup sweep {name} --config {config}\n# Another sweep is running and does the work.\n\
         SuccessExitStatus=75\n# The next run is the retry. If you set Restart=, an invalid configuration is still \
         not retried.\nRestart=no\nRestartPreventExitStatus=78\nSyslogIdentifier=cleanup\nNice=10\n\
         IOSchedulingClass=idle\n{environment}{hardening}",
        name = job.name,
        what = unit_text(&what),
        prefix = site.prefix,
        config = unit_argument(&site.config_path),
        hardening = hardening::settings(site, &needs),
    )
}

fn server(site: &Site) -> String {
    let mut needs = Needs { writes: Vec::new(), network: Network::Local };
    for job in &site.jobs {
        let own = self::needs(job);
        needs.writes.extend(own.writes);
        needs.network = needs.network.and(own.network);
    }
    needs.writes.sort_unstable();
    needs.writes.dedup();
    if !site.server.listen.ip().is_loopback() {
        needs.network = Network::Open;
    }
    let unknown = site.jobs.iter().any(|job| matches!(job.kind, Kind::Sessions(Reach::Unknown)));
    format!(
        "# Enable this or cleanup-sweep.target, not both: each runs all policies by their schedules.\n[Unit]\n\
         Description=Cleanup of files and sessions, with an HTTP API\nDocumentation=man:cleanup(1)\n\
         Requires=cleanup-server.socket\nAfter=cleanup-server.socket network.target postgresql.service\n\
         Conflicts=cleanup-sweep.target\n\n[Service]\nType=notify\nExecStart={prefix}/cleanup-server -c {config}\n\
         ExecReload=/bin/kill -HUP $MAINPID\nWatchdogSec=30s\nTimeoutStopSec=15s\nRestart=on-failure\nRestartSec=5s\n\
         # Retrying does not fix an invalid configuration.\nRestartPreventExitStatus=78\n\
         SyslogIdentifier=cleanup-server\nNice=5\n{tokens}{environment}{hardening}\n[Install]\n\
         WantedBy=multi-user.target\nAlso=cleanup-server.socket\n",
        prefix = site.prefix,
        config = unit_argument(&site.config_path),
        tokens = tokens(site),
        environment = environment(site, unknown),
        hardening = hardening::settings(site, &needs),
    )
}

fn tokens(site: &Site) -> String {
    let mut text = String::new();
    if site.server.names_token() {
        text += "# systemd reads tokens as root, so only root needs access to their files.\n";
    }
    for Secret { name, path } in &site.server.secrets {
        text += &match path {
            Some(path) => format!("LoadCredential={}\n", unit_word(&format!("{name}:{path}"))),
            None => format!(
                "# Requests need a token once this file exists: /etc/credstore/cleanup-{name}, readable only by \
                 root.\nLoadCredential={name}:cleanup-{name}\n"
            ),
        };
    }
    text
}

fn socket(site: &Site) -> String {
    let unix = site.server.socket.as_ref().map_or_else(String::new, |path| {
        // The directive takes the rest of the line as it is, specifiers apart.
        format!(
            "ListenStream={}\nSocketMode=0660\nSocketUser={user}\nSocketGroup={user}\n",
            unit_text(path),
            user = site.user
        )
    });
    format!(
        "[Unit]\nDescription=Socket of cleanup-server\nDocumentation=man:cleanup(1)\nConflicts=cleanup-sweep.target\n\
         PartOf=cleanup-server.service\n\n[Socket]\nListenStream={listen}\n{unix}\n[Install]\n\
         WantedBy=sockets.target\n",
        listen = site.server.listen,
    )
}

fn needs(job: &Job) -> Needs<'_> {
    match &job.kind {
        Kind::Files(root) => Needs { writes: vec![root], network: Network::Closed },
        Kind::Sessions(Reach::Folder(folder)) => Needs { writes: vec![folder], network: Network::Closed },
        Kind::Sessions(Reach::Unknown | Reach::Local) => Needs { writes: Vec::new(), network: Network::Local },
        Kind::Sessions(Reach::Remote) => Needs { writes: Vec::new(), network: Network::Open },
    }
}

fn environment(site: &Site, needs_url: bool) -> String {
    let mut text = String::new();
    for (name, value) in &site.variables {
        text += &format!("Environment={}\n", unit_word(&format!("{name}={value}")));
    }
    if needs_url {
        text += &format!(
            "# DATABASE_URL=… and other variables; readable only by root.\n\
                          EnvironmentFile=-{ENVIRONMENT_FILE}\n"
        );
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn needs_database_drop_in(job: &Job) -> bool {
    matches!(job.kind, Kind::Sessions(Reach::Unknown))
}

/// Nothing as it stands.
const DATABASE: &str =
    "# A database on another machine: if the configuration takes its URL from the environment, the unit reaches this
# machine only. Copy this file under another name, without the leading #, and replace the examples by the address of
# the database (and of your name server, if the URL has a host name).
#[Service]
#IPAddressAllow=192.0.2.10
#IPAddressAllow=2001:db8::10
#
# A database file (sqlite:////srv/app/sessions.db): its folder.
#[Service]
#ReadWritePaths=/srv/app
";
