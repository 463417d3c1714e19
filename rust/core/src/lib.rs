//! Wire codecs and the masking engine of Countersign. Bytes in, events out: no sockets, no clocks, no policy.
//!
//! Nothing here panics on any input, and nothing buffers more than the limit it was given.

pub mod backend;
pub mod digest;
pub mod error;
pub mod framing;
pub mod lane;
pub mod masking;
pub mod merkle;
pub mod messages;
pub mod parameters;
pub mod reader;
pub mod records;
pub mod shape;
pub mod sketch;
pub mod startup;
pub mod steady;

pub use error::ProtocolError;
