"""One machine's whole Candid8: servers, preparation and processes under one supervisor, before Django is there."""
