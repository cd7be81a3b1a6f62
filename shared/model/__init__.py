"""The network and its bundles. It needs torch, so only inference and training import it."""
