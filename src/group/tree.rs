//! The key tree's shadow: generations, steps and populations, never a key.
