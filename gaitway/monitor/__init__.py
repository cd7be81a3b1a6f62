"""`gaitway monitor`: run the pipeline with a real Prometheus and answer five questions of an operator from it."""
