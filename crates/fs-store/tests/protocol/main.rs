//! A model of what is between a file in its place and its end: noted, moved, verified, purged or restored
//! (docs/deletion.md), with every order of steps that two processes, an application and a crash can take.
//!
//! It is small, and explored exhaustively: two old files `A` and `B`, an old directory `D` with a file in it, two
//! processes and then a third one, a write or two by an application, and a crash at any moment: a kill, which leaves
//! what the kernel knows, or a power failure, which leaves what was synced and any part of the rest
//! ([`world::Journal`]). A step is a system call, or several that nobody else can tell apart. The checker knows more than
//! the processes do (which inode something is, at what somebody has looked), and compares.
//!
//! What each step is in the code:
//!
//! | step | code |
//! | --- | --- |
//! | `Begin`, `Judge` | `engine::run::gates` (the lock, the holds), `walk`, `core::judge` |
//! | `AskHolds` | `engine::run::recheck`, at a deadline, which does without the lock |
//! | `MakeFolder`, `MakeNotes`, `LockNotes`, `SyncFolders` | `RunFolder::make`, `RunFolder::begin` |
//! | `WriteNotes`, `SyncNotes` | `MoveIn::note`, `MoveIn::sync` |
//! | `LastLook`, `UnlinkInPlace` | `Files::look_again`, `Files::dispose` |
//! | `Rename`, `LookInside` | `MoveIn::rename`, `Moved::settle`, `Moved::settle_whole` |
//! | `PutBack`, `PutBeside` | `settle::put_back` |
//! | `SyncToClose`, `Close` | `MoveIn::close` |
//! | `MarkEmptying`, `SyncMark` | `MoveIn::mark_emptying`, `OpenRun::mark_emptying` |
//! | `ListChildren`, `LookAtChild`, `UnlinkChild`, `RemoveDirectory` | `delete_tree::delete`, `DeleteTree` |
//! | `LockFolder`, `ReadMark`, `ReadEntries` | `OpenRun::lock_alone`, `Unsettled::of`, `OpenRun::entries` |
//! | `LookAgain`, `UnlinkEntry` | `settle::look`, `purge` |
//! | `SyncToConclude`, `Conclude` | `Unsettled::conclude`, `OpenRun::mark` |
//! | `AskEmpty`, `LockToTidy`, `SyncToTidy`, `RemoveNotes`, `RemoveFolder` | `OpenRun::tidy` |
//! | `ReadAll`, `Hold` | `Engine::restore`: `choose`, `hold` |
//! | `LockToRestore`, `MoveOut` | `Quarantine::bring_back`, `OpenRun::wait_alone` |
//!
//! What it leaves out: file systems without `RENAME_NOREPLACE`, folders that are made again on the way back, names that
//! repeat in one run, and whatever an application does to its own names beyond the few [`site::Write`]s. That a clock can
//! be told apart from a later one is taken for granted (`await_clock`), so "written since" is a flag here.
//! What is written between the last look at something and the one system call after it goes with it, as the document
//! says; the checker does not count that as a loss.
//!
//! [`proofs`] says what holds, [`teeth`] that the checker would notice if it did not.

#![allow(clippy::print_stdout, reason = "how many states there are")]
#![allow(clippy::struct_excessive_bools, reason = "each is a thing by itself that a process knows, or does")]

mod actor;
mod moving_in;
mod proofs;
mod protocol;
mod purging;
mod restoring;
mod site;
mod teeth;
mod world;
