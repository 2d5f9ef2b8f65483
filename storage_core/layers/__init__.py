"""Layers: drivers over a driver. Each adds one thing and passes the rest on."""
