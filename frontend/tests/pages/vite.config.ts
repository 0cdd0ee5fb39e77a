/** Builds the page that opens files in the real viewer, for the browser tests; ``--outDir`` says where. */
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/",
  publicDir: false,
  logLevel: "warn",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 3000, rollupOptions: { input: `${import.meta.dirname}/files.html` } },
});
