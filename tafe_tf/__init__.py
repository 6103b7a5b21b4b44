"""TAFE and its kin: multi-task recommenders for funnels in which each step follows the one before."""

__version__ = "0.1.0"
