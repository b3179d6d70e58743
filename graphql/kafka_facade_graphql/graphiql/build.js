// Bundles the page and its web workers into the directory that the application serves.
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = here("../static");
const common = {
  outdir,
  bundle: true,
  minify: true,
  target: "es2022",
  legalComments: "linked",
  loader: { ".ttf": "file" },
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
};

rmSync(outdir, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: { graphiql: here("main.js"), style: "graphiql/style.css" },
  format: "esm",
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  alias: { "monaco-workers": here("workers.js") },
});
await build({
  ...common,
  entryPoints: {
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  },
  format: "iife",
});
