//! Two cores over a bad network.
