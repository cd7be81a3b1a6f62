"""What two parts of Gaitway must agree on. Imports no service."""
