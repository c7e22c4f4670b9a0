"""A machine learning backend for Label Studio, in front of Diptych's models."""
