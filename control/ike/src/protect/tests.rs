//! Round trips, damage and fragments.
