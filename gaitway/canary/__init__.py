"""`gaitway canary`: a watch that sends a known recording all day and checks that its events arrive, right and in time.

Its user is ``canary-INSTANCE`` (or the given token's), a name that no wearer may have, so
that evaluations of people's events can leave it out. It is a client like any other: HTTP in, Kafka out, no model and no
torch.
"""
