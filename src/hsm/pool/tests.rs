//! What a pool does, shown on tokens that follow a script.

mod admission;
mod deadlines;
mod failures;
mod lanes;
mod metrics;
mod order;
mod random;
mod ring;
mod script;
mod start;
