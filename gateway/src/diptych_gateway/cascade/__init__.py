"""Two models that answer as one."""
