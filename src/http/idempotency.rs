//! `Idempotency-Key`: a repeated request moves money once.
