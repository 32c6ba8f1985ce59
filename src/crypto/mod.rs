//! Suite 1 in software: what every member computes, and the software token with them.
