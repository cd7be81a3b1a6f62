"""`gaitway canary`: a watch that sends a known recording all day and checks its events: there, right and in time?

Its user is ``canary-INSTANCE`` (or the given token's), a name that no wearer may have: whoever evaluates people's
events leaves it out. It is a client like any other: HTTP in, Kafka out, no model and no torch.
"""
