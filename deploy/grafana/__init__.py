"""Grafana's dashboards as code: `make dashboards` writes dashboards/*.json, which Grafana reads.

One module per dashboard, built with panels.py; provisioning/ tells Grafana where the dashboards are.
"""
