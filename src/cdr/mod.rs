//! What happened: one record a call, and its export.
