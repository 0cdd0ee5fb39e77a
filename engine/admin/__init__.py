"""The admin: Django's lists of rows, and the console of ML engineers beside them."""
