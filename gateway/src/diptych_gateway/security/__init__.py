"""Who may do what: bearer tokens and the check in front of every call."""
