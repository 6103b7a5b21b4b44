"""Blocks of raw rows as NumPy arrays: conversion, checks, and back to tables."""
