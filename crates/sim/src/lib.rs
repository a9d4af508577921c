//! A world in which the server runs on simulated time.
