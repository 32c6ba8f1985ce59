//! Durable state: an append-only log for each group, with snapshots.
