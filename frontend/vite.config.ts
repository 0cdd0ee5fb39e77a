/** Builds the pages' entries into Django's static folder, with a manifest that the template tag reads. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "/static/candid8/",
  publicDir: false,
  build: {
    outDir: "static/candid8",
    emptyOutDir: true,
    manifest: "manifest.json",
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Gaussian splats come in one lazy file of this size, with its WASM inside.
    chunkSizeWarningLimit: 3000,
    rollupOptions: {
      input: {
        work: "src/work.ts",
        home: "src/home.ts",
        arena: "src/arena.ts",
        artists: "src/artists.ts",
        guide: "src/guide.ts",
        console: "src/console.ts",
        app: "src/ui/app.css",
      },
    },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
