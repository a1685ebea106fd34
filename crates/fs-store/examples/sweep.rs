//! A sweep without anything around it, for `cargo xtask bench instructions` and for profiles: `sweep CONFIG JOBS`.
//!
//! It sweeps the first policy of the file by the clock of the machine, and remembers nothing. A profile of it shows the
//! store and the judge alone; and callgrind, which hides what the kernel maps into every process, can run it.

use std::error::Error;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use cleanup_core::config::{Config, Source};
use cleanup_core::judge::Run;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Dispose, Unit};
use cleanup_core::sweep::{Mode, sweep};
use cleanup_fs_store::{Jobs, QuarantineRun, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, jobs] = args.as_slice() else { return Err("usage: sweep CONFIG JOBS".into()) };
    let text = std::fs::read_to_string(path)?;
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    let config = Config::load(&Source { name: path, text: &text, folder }, &|_| None)?;
    let policy = config.files.first().ok_or("no policy for files")?;
    let jobs = NonZero::new(jobs.parse()?).map_or(Jobs::Adaptive, Jobs::Fixed);

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let run = Run::at(Moment::EPOCH.plus(now));
    let mut store = Store::open(policy, Vec::new())?.with_jobs(jobs);
    if policy.dispose != Dispose::Delete || policy.unit == Unit::Directory {
        store = store.into_quarantine(Arc::new(QuarantineRun::new("EXAMPLE".to_owned())), run.now)?;
    }
    let tally = sweep(&store, &policy.rule, &run, Mode::Apply, &());
    if tally.errors_total > 0 { Err(format!("{:?}", tally.errors).into()) } else { Ok(()) }
}
