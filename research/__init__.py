"""What only the makers of the built-in model need: its recipes, its material, how it is judged and packed. Not in the wheel.

Found from the repository's root: ``python -m research.train research/recipes/nano-9-first-prompts.toml ...``.
"""
