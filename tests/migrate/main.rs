//! Old configurations carried over: the project's own small ones, and the corpus where it is at hand.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod corpus;
mod golden;
mod mutation;
