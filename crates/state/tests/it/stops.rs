//! Where runs were stopped.

use cleanup_state::{State, Stop, StoppedAt};

use crate::common::folder;

#[test]
fn where_a_run_was_stopped_is_remembered_until_one_came_to_its_end() {
    let (_parent, folder) = folder();
    let mut state = State::open(&folder, None).unwrap();
    assert_eq!(state.stop("temp"), None);
    let stop = Stop {
        rule: "max_age = 1h".to_owned(),
        root: "8:1 2".to_owned(),
        next: vec![
            StoppedAt { folder: b"\xff/b".to_vec(), entry: Some((b"name".to_vec(), u64::MAX)) },
            StoppedAt { folder: b"b".to_vec(), entry: None },
        ],
    };
    assert!(state.remember_stop("temp", Some(&Stop { next: vec![stop.next[1].clone(); 9], ..stop.clone() })));
    assert!(state.remember_stop("temp", Some(&stop)));
    state.rest();
    assert_eq!(state.stop("temp"), Some(stop.clone()));
    assert_eq!(state.stop("other"), None);

    let mut looking = State::look(&folder, None).unwrap();
    assert!(!looking.remember_stop("temp", None), "whoever looks forgets nothing");
    assert_eq!(looking.stop("temp"), Some(stop));

    assert!(state.remember_stop("temp", None));
    assert_eq!(state.stop("temp"), None);
}
