//! Checks of `every` and `cron`.

use super::super::diagnostic::Diagnostic;
use super::super::values::{At, Period};
use super::Check;
use crate::policy::{CronError, CronExpression, Schedule};

impl Check<'_> {
    pub(super) fn schedule(&mut self, every: Option<&At<Period>>, cron: Option<&At<String>>) -> Option<Schedule> {
        match (every, cron) {
            (None, None) => None,
            (Some(every), None) => {
                self.positive("every", every, "expected a time between two runs").map(Schedule::Every)
            }
            (None, Some(cron)) => match CronExpression::parse(&cron.value) {
                Ok(expression) => Some(Schedule::Cron(expression)),
                Err(error) => {
                    self.refuse(bad_cron(cron, &error));
                    None
                }
            },
            (Some(every), Some(cron)) => {
                self.refuse(
                    Diagnostic::new(&cron.span, "`every` and `cron` cannot be combined")
                        .label("one schedule")
                        .context(&every.span, "another schedule")
                        .help("remove one of them"),
                );
                None
            }
        }
    }
}

fn bad_cron(cron: &At<String>, error: &CronError) -> Diagnostic {
    Diagnostic::new(&cron.span, "invalid cron expression")
        .label(error.to_string())
        .note("the fields are minute, hour, day of the month, month, day of the week")
        .help("every night at three: `0 3 * * *`")
}
