"""`gaitway load`: thousands of watches from one process, in open loop, and a check that every window has its event."""
