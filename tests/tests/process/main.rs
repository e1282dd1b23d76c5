//! Tests that change a whole process: signals, faults, stacks. Each such case runs in a child
//! process, which is the same test again.

#[path = "../common/mod.rs"]
mod common;

mod faults;
mod nested;
mod stacks;
