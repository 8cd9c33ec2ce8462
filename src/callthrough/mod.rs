//! The product: "this phone calling that access number means this destination", for a minute.
