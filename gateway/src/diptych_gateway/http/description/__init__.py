"""The OpenAPI description of the HTTP server, made from its types."""
