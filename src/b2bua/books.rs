//! Money and records of calls.
