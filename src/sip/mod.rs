//! Messages, transactions, dialogs, transports (RFC 3261 and kin).
