"""`gaitway monitor`: the pipeline under watches with a real Prometheus beside it, and five questions put to that."""
