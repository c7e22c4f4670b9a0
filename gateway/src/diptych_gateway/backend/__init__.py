"""The models behind the gateway: endpoints, connections, and calls whose bytes are passed on."""
