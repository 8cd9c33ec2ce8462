//! The door for phones: Web Call-Through.
