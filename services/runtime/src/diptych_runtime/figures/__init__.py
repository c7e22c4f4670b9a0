"""Figures for Prometheus that model services and the gateway have in common, and a page of them."""
