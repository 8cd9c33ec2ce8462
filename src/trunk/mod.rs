//! The carriers: where calls come from, who takes a call onward.
