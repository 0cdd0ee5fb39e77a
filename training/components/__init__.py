"""What each part of a model is trained by from nothing, and how the parts become a checkpoint."""
