//! Runs the scripts of tests/guest.
