"""Pictures of the dashboards, from a real Prometheus' answers to their queries.

Grafana is not here: panels, places, queries, units and colours are those of its JSON, the drawing is ours.
"""
