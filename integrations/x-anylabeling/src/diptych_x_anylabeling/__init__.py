"""Diptych's models in X-AnyLabeling, over the wire of its remote server."""
