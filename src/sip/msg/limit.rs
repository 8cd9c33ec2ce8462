//! The bounds of a message. What goes beyond them is refused before it costs anything.

/// The largest message, as received.
pub const MESSAGE_BYTES: usize = 64 * 1024;
/// The most header lines of a message.
pub const HEADERS: usize = 200;
/// The longest header line, folds and line end included.
pub const HEADER_LINE_BYTES: usize = 8 * 1024;
/// The longest start line.
pub const START_LINE_BYTES: usize = 8 * 1024;
/// The most Via values: beyond 64 hops a message is looping.
pub const VIAS: usize = 64;
/// The most Contact values.
pub const CONTACTS: usize = 32;
/// The most Route values, and the most Record-Route values.
pub const ROUTES: usize = 64;
/// The most parameters of one header value or URI.
pub const PARAMS: usize = 64;
