//! Reading, writing and answering session descriptions (RFC 8866, 3264).
//!
//! `Session` is an order-preserving line editor: it knows the lines we must read or own, and every other line survives byte for byte.
