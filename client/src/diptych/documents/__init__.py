"""Results as JSON documents: what ``diptych --json`` prints and the gateway answers over HTTP.

Importable for servers of this project; no promise of stability.
"""
