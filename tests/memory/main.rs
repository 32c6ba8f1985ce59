//! What is in a process's memory, and what is not: keys are looked for where the kernel shows all of it.

#[path = "../support/mod.rs"]
mod support;

mod gateway;
mod planted;
mod scan;
