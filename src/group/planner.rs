//! From a batch of joins and leaves to the smallest set of new keys and wraps: stage, then commit or discard.
