"""Mixing on CIFAR-10."""
