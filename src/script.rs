//! Rhai: what a route may call and change.

pub mod check;
pub mod commons;
pub mod ending;
pub mod engine;
pub mod error;
pub mod expiring;
pub mod export;
pub mod fiber;
pub mod import;
pub mod module;
pub mod pseudo;
pub mod question;
pub mod reload;
pub mod retired;
pub mod route;
pub mod router;
pub mod substitution;
