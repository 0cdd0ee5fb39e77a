"""One machine's whole Candid8: embedded servers, preparation and processes under one supervisor (standard library and psycopg only)."""
