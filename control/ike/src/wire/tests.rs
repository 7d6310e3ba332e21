//! Round trips, captures and damage.
