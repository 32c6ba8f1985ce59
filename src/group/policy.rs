//! What a group's owner decides: intervals, delays, limits and who is admitted.
