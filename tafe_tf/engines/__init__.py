"""Preparation and batch scoring beyond one machine, on engines that are not ours."""
