"""Gaitway: from smartwatch streams to live activity events. The wheel has the client only; a checkout has all."""
