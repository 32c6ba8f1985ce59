//! Shards: one single-writer loop for each share of the groups, which runs the core's effects in order.
