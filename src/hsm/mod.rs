//! Tokens: whoever holds the master key and executes the core's named operations.
