//! Carries sessions in their steady state on a thread of its own, without the interpreter.
//!
//! A session is handed over while nothing is on its way, with its `Lane` and its two sockets. The engine moves bytes
//! between the sockets as the lane says; audit records go to the `Intake` before anything is sent (I1), and what is recorded to
//! the `Spool`. At the first thing that is not
//! for the lane the session is given back, whole, with every byte that was read and not used.

mod engine;
mod intake;
mod spool;

pub use engine::{Engine, Entrant, Returned, Why};
pub use intake::{Intake, Item};
pub use spool::Spool;
