"""`gaitway demo`: the whole pipeline on this machine, real people replayed, everything checked at the end."""
