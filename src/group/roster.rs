//! Who is in a group: registrations, their leaves, sender identifiers and acknowledgements.
