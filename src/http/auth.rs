//! Who is asking: users, secrets, nonces, replay and retry.
