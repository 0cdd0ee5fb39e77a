"""Everything that proves the product: see STYLE for what goes into which folder."""
