//! Which country an address is in.
