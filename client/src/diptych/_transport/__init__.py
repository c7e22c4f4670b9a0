"""The wire below the clients: channels, TLS, tokens, deadlines, attempts."""
