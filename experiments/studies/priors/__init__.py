"""Layers of a prior model on real images: pooling, convolution, and classifiers on a long tail."""
