//! Carries sessions in their steady state on a thread of its own, without the interpreter.
//!
//! A session is handed over while nothing is on its way, with its `Lane`, its two sockets and its recording. The engine moves bytes
//! between the sockets as the lane says; audit records go to the `Intake` before anything is sent (I1). At the first thing that is not
//! for the lane the session is given back, whole, with every byte that was read and not used.

mod engine;
mod intake;

pub use engine::{Engine, Entrant, Returned, Why};
pub use intake::{Intake, Item};
