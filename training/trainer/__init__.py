"""How the default model is trained: what is drawn, how it is altered, the loop."""
