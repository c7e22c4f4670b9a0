"""Ask the models, keep every answer, go on where a run was stopped."""
