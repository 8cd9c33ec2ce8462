//! The life of one call, as a state machine that touches nothing.
