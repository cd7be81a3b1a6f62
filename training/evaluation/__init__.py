"""How good a model is: on unknown people and devices, how sure, with broken sensors, for new users; and the bar."""
