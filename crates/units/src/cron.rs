//! Lines for cron: one for all policies that run at the same times.
//!
//! Two files say the same: `cron/cleanup` for `/etc/cron.d`, with the user in each line, and `cron/crontab` for that
//! user's own `crontab`. What cron cannot say exactly is left out and named: intervals that do not divide a day or have
//! seconds, and schedules in another zone than the machine's, for Debian's cron knows no other.

use cleanup_core::policy::Schedule;

use crate::expression::Expression;
use crate::host::LOG;
use crate::quote;
use crate::site::{ENVIRONMENT_FILE, Job, Kind, Reach, Site};
use crate::{Note, Rendered};

/// Cron takes commands up to 999 characters; a longer one is an error of the whole file.
const LONGEST_COMMAND: usize = 990;

/// Policies that run at the same times.
struct Line<'a> {
    times: Vec<String>,
    jobs: Vec<&'a Job>,
}

/// Adds the files of `cron/`.
pub(crate) fn render(site: &Site, rendered: &mut Rendered) {
    let mut notes = Vec::new();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (job, schedule) in site.scheduled() {
        let times = match times(schedule, site) {
            Ok(_) if !fits(site, &[job]) => Err("its command is too long for cron; use a shorter path".to_owned()),
            times => times,
        };
        match times {
            Ok(times) => {
                let line = lines.iter_mut().rev().find(|line| line.times == times);
                match line.filter(|line| fits(site, &[line.jobs.as_slice(), &[job]].concat())) {
                    Some(line) => line.jobs.push(job),
                    None => lines.push(Line { times, jobs: vec![job] }),
                }
            }
            Err(why) => notes.push(Note { about: job.name.clone(), what: format!("not in the cron files: {why}") }),
        }
    }
    rendered.add("cron/cleanup", &file(site, &lines, &notes, Some(&site.user)));
    rendered.add("cron/crontab", &file(site, &lines, &notes, None));
    rendered.notes.extend(notes);
}

/// The five fields of each line that a schedule takes; the error says why cron cannot run it.
pub(crate) fn fields(schedule: &Schedule) -> Result<Vec<String>, String> {
    match schedule {
        Schedule::Cron(cron) => Ok(Expression::of(cron)?.crontab().into_iter().collect()),
        Schedule::Every(span) => Expression::every(*span)
            .and_then(|times| times.iter().map(Expression::crontab).collect())
            .ok_or_else(|| format!("`{schedule}` does not divide a day into whole minutes; use a systemd timer")),
    }
}

fn times(schedule: &Schedule, site: &Site) -> Result<Vec<String>, String> {
    if let (Schedule::Cron(_), Some(zone)) = (schedule, &site.time_zone) {
        return Err(format!("cron uses the system time zone, but `time_zone` is {zone}; use a systemd timer"));
    }
    fields(schedule)
}

fn file(site: &Site, lines: &[Line<'_>], notes: &[Note], user: Option<&str>) -> String {
    let mut text = String::from(match user {
        Some(_) => "# Install in /etc/cron.d: owned by root, not executable, and with a name without a dot.\n",
        None => "# Install with `crontab`, as the user that owns the files.\n",
    });
    text += "# Times are in the system time zone. Output goes to the log; cron mails only failures.\nSHELL=/bin/sh\n\
             PATH=/usr/sbin:/usr/bin:/sbin:/bin\nMAILTO=root\n";
    for (name, value) in &site.variables {
        text += &format!("{name}=\"{value}\"\n");
    }
    for note in notes {
        text += &format!("\n# {note}\n");
    }
    for line in lines {
        text += &format!("\n{}", comment(line));
        let command = quote::crontab(&command(site, &line.jobs));
        for times in &line.times {
            text += &user.map_or_else(|| format!("{times} {command}\n"), |user| format!("{times} {user} {command}\n"));
        }
    }
    text
}

fn comment(line: &Line<'_>) -> String {
    let all: Vec<String> = line
        .jobs
        .iter()
        .map(|job| {
            job.schedule.as_ref().map_or_else(|| job.name.clone(), |schedule| format!("{}: {schedule}", job.name))
        })
        .collect();
    format!("# {}\n", all.join(", "))
}

fn fits(site: &Site, jobs: &[&Job]) -> bool {
    quote::crontab(&command(site, jobs)).len() <= LONGEST_COMMAND
}

fn command(site: &Site, jobs: &[&Job]) -> String {
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let names = names.join(" ");
    let wants_url = jobs.iter().any(|job| matches!(job.kind, Kind::Sessions(Reach::Unknown)));
    let environment = if wants_url {
        format!("set -a; [ ! -r {ENVIRONMENT_FILE} ] || . {ENVIRONMENT_FILE}; set +a; ")
    } else {
        String::new()
    };
    format!(
        "{environment}{program} sweep {names} --config {config} >> {LOG} 2>&1 \
         || [ $? -eq 75 ] || echo \"a sweep failed, see {LOG}\"",
        program = quote::shell(&format!("{}/cleanup", site.prefix)),
        config = quote::shell(&site.config_path),
    )
}
