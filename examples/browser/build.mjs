// Builds dist/: the whole page, with everything that it needs at run time.
import { cp, rm } from "node:fs/promises";
import { build } from "esbuild";

const RUNTIME = "node_modules/@litertjs/core/wasm/";

await rm("dist", { recursive: true, force: true });
await build({
  entryPoints: ["src/main.js", "src/worker.js", "src/style.css"],
  bundle: true,
  target: "es2022",
  outdir: "dist",
});
await cp("src/index.html", "dist/index.html");
// LiteRT uses the first one if the browser supports relaxed SIMD. It also has one with threads, but threads need headers
// (COOP, COEP) that a plain static server does not send.
for (const name of ["litert_wasm_internal", "litert_wasm_compat_internal"]) {
  for (const ending of [".js", ".wasm"]) await cp(RUNTIME + name + ending, `dist/${name}${ending}`);
}
