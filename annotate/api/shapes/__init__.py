"""The JSON of the interface, one noun a module; docs/openapi.yaml and the front end's types come from here."""
