"""x"""
from __future__ import annotations
class Pattern:
    others=()
