use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::fixture::{another_process, pass, role};

const NEVER: Duration = Duration::from_hours(1);

/// A service in a process of its own, and what it prints.
struct Service {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

fn start(mut command: Command) -> Service {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Service { child, lines }
}

impl Service {
    fn awaits(&mut self, what: &str) {
        assert!(self.lines.any(|line| line.unwrap() == what), "{what:?} was not said");
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ends_well(mut self) {
        // Nobody may stay waiting for a pipe that is full.
        self.lines.by_ref().for_each(drop);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

const SIGNALS: &str = concat!(module_path!(), "::signals_are_obeyed");

/// The service: says what it is told, and does not end by itself when it is `stubborn` or `late`.
fn serve(role: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (stop, reload) = (CancellationToken::new(), Arc::new(Notify::new()));
        let deadline = if role == "late" { Duration::from_millis(50) } else { NEVER };
        tokio::spawn(Signals::listen().unwrap().obey(stop.clone(), Arc::clone(&reload), deadline));
        println!("\nready");
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = reload.notified() => println!("\nreload"),
            }
        }
        println!("\nstopping");
        if role != "willing" {
            std::future::pending::<()>().await;
        }
    });
}

#[test]
fn signals_are_obeyed() {
    if let Some(role) = role() {
        return serve(&role);
    }
    let started = |role| {
        let mut service = start(another_process(SIGNALS, role, "exec \"$@\""));
        service.awaits("ready");
        service
    };
    for signal in [Signal::TERM, Signal::INT] {
        let mut willing = started("willing");
        willing.send(signal);
        willing.awaits("stopping");
        willing.ends_well();
    }

    let mut reloading = started("willing");
    for _ in 0..2 {
        reloading.send(Signal::HUP);
        reloading.awaits("reload");
    }
    reloading.send(Signal::TERM);
    reloading.ends_well();

    let mut stubborn = started("stubborn");
    stubborn.send(Signal::TERM);
    stubborn.awaits("stopping");
    stubborn.send(Signal::INT);
    stubborn.ends_well();

    let mut late = started("late");
    let before = Instant::now();
    late.send(Signal::TERM);
    late.awaits("stopping");
    late.ends_well();
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_service_manager_is_told() {
    if role().is_some() {
        ready("listening on http://127.0.0.1:8000\nREADY=0");
        status("sweeping");
        reloading();
        stopping();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(async {
            let _ = tokio::time::timeout(Duration::from_millis(60), watchdog(|| true)).await;
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = another_process(concat!(module_path!(), "::the_service_manager_is_told"), "any", "exec \"$@\"");
    start({
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "50000");
        command
    })
    .ends_well();
    socket.set_nonblocking(true).unwrap();
    let told = || {
        let mut buffer = [0; 500];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1\nSTATUS=listening on http://127.0.0.1:8000 READY=0\n");
    assert_eq!(told(), "STATUS=sweeping\n");
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!((told(), told()), ("WATCHDOG=1\n".into(), "WATCHDOG=1\n".into()));
}

#[test]
fn without_a_service_manager_nobody_is_told() {
    if role().is_some() {
        ready("ready");
        reloading();
        stopping();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        return runtime.block_on(watchdog(|| true));
    }
    let test = concat!(module_path!(), "::without_a_service_manager_nobody_is_told");
    let unset = "unset NOTIFY_SOCKET WATCHDOG_USEC && exec \"$@\"";
    for setup in [unset, "export NOTIFY_SOCKET=/nowhere/at/all WATCHDOG_USEC=0 && exec \"$@\""] {
        start(another_process(test, "any", setup)).ends_well();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_service_is_silent_until_it_recovers() {
    let (shown, healthy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (count, health) = (Arc::clone(&shown), Arc::clone(&healthy));
    let show = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    tokio::spawn(show_life(Duration::from_secs(15), move || health.load(Ordering::Relaxed), show));
    pass(Duration::from_secs(31)).await;
    assert_eq!(shown.load(Ordering::Relaxed), 3, "at 0, 15 and 30 seconds");
    healthy.store(false, Ordering::Relaxed);
    pass(Duration::from_mins(5)).await;
    assert_eq!(shown.load(Ordering::Relaxed), 3);
    healthy.store(true, Ordering::Relaxed);
    pass(Duration::from_secs(15)).await;
    assert_eq!(shown.load(Ordering::Relaxed), 4);
}
