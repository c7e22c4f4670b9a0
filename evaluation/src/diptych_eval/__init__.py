"""Compare models with ground truth: which is better on your own pictures, and how sure that is."""

from .model import Category, Clip, Dataset, EvaluationTask, Picture, Truth

__all__ = ["Category", "Clip", "Dataset", "EvaluationTask", "Picture", "Truth"]
