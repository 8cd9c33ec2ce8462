//! The night watch: expire, reconcile, refresh.
