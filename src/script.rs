//! Rhai: what a route may call and change.

pub mod check;
pub mod export;
pub mod import;
