"""What Pusher speaks, as pure functions and values: no event loop, no I/O, no clock, no randomness."""
