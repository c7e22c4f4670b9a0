"""Match answers with truths, and count what the matches say."""
