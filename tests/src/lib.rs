//! The end-to-end harness: machines in QEMU on a network of their own, the head node under test, and the artefacts
//! that both need. The scenarios are in `tests/tests/`; `cargo xtask demo` and `bench` use the same harness.
//!
//! What it promises:
//!
//! - Nothing leaves the machine: each scenario has its own network namespace ([`net::Net`]), with no way out.
//! - Nothing stays behind: every child process dies with the thread that started it, and namespaces, sockets and
//!   disks go when their guard is dropped, also on failure.
//! - No sleeping: a wait names the one thing it waits for ([`console::Console::expect`], [`qmp::Qmp::wait_event`])
//!   and a deadline.
//! - A failure explains itself: [`scenario::run`] prints the ends of all logs and says where they lie whole.

pub mod artefacts;
pub mod cache;
pub mod console;
pub mod disk;
pub mod dracut;
pub mod group;
pub mod head;
pub mod net;
pub mod paths;
pub mod qmp;
pub mod run;
pub mod scenario;
pub mod secure_boot;
pub mod service;
pub mod ssh;
pub mod stock;
pub mod storage;
mod tpm;
pub mod vm;
pub mod writelog;
