/** Builds the pages that use the real viewer without the product around it, for the browser tests; ``--outDir`` says where. */
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/",
  publicDir: false,
  logLevel: "warn",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 3000, rollupOptions: { input: ["files", "grid"].map((name) => `${import.meta.dirname}/${name}.html`) } },
});
