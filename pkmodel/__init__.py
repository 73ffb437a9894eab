"""Simulator of ketamine and esketamine dosing."""
