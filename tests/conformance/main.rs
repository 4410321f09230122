//! What the standards demand, one module per RFC, one test per demand, named by section.

mod rfc7247;
mod rfc7572;
