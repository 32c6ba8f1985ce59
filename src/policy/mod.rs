//! The decision point: who is admitted to which group, in which role.
