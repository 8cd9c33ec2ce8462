//! The switchboard: feeds calls their facts, carries out their orders.
