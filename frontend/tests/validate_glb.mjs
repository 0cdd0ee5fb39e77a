/** Prints, as JSON by path, the errors and warnings that the Khronos validator finds in the GLB files named. */
import { readFile } from "node:fs/promises";
import { validateBytes } from "gltf-validator";

const WARNING = 1;
const found = {};
for (const path of process.argv.slice(2)) {
  const report = await validateBytes(new Uint8Array(await readFile(path)), { format: "glb", maxIssues: 0 });
  found[path] = report.issues.messages.filter(({ severity }) => severity <= WARNING).map(({ code, message, pointer }) => `${code} ${pointer}: ${message}`);
}
process.stdout.write(JSON.stringify(found));
