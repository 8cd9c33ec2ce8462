//! The prepaid books: accounts, entries, holds.
