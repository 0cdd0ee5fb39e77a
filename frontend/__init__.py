"""The eyes: TypeScript pages, built by Vite into this app's static folder."""
