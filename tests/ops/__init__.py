"""Tests of single ops beyond what follows from their rows in `cases`."""
