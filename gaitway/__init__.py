"""Gaitway: from smartwatch streams to live activity events. What a third party installs and runs."""
