//! The member's side of a group: which keys it holds, what it can open, when it uses which epoch.
