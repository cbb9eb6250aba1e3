"""Measures the program from the outside, against goals and against an honest baseline in the same run."""
