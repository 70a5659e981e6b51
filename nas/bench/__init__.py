"""Samplers against a table of scores: what a search would have found, without training anything."""

from __future__ import annotations
