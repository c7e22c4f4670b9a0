"""Images of results: colours, panels, figures, and frames of clips."""
