"""The network and the bundles it travels in; reached by inference and training only, since it needs torch."""
