//! Reading, writing and answering session descriptions (RFC 8866, 3264).
