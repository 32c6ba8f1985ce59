//! What is persisted of a group: outcomes, never keys, so that replay needs no planner.
