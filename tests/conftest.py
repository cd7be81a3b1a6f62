from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.stack"]

# How long an example takes is the machine's matter, not the code's: a busy one takes any number of milliseconds.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
