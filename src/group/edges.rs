//! Up-edges: a parent's key wrapped under its child's, cached and cut into chunks for delivery.
