//! Typed configuration: unknown keys refused, every default in one committed file.
