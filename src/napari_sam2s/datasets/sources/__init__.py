"""The source datasets of SA-SV: tables of facts, and the few lines each that find its files."""
