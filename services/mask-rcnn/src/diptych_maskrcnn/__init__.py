"""Mask R-CNN and Keypoint R-CNN behind the Diptych contract."""
