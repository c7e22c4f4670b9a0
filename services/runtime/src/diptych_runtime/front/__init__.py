"""The front process: listens, checks, admits, queues, and watches the engine process."""
