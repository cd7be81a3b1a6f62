"""Grafana's dashboards as code: `make dashboards` writes dashboards/*.json, which Grafana reads.

One module per dashboard, on panels.py; what Grafana needs to find them is in provisioning/.
"""
