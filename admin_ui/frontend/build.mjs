// Bundles the admin's scripts, styles, icons and font into the directory given as the first argument.
// Everything third-party comes from the lock file; nothing of it is committed. Names carry a content hash, so the
// server may serve them as immutable; manifest.json maps plain names to hashed ones.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(process.argv[2]);
const out = `${target}.${process.pid}`; // built aside and then put in place, so that nobody ever sees half a bundle
const testOut = process.argv[3] ? path.resolve(process.argv[3]) : null;
const modules = path.join(here, "node_modules");
const manifest = {};
const packages = new Set(["lucide-static", "@fontsource-variable/inter"]);

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });

const bundle = await esbuild.build({
  absWorkingDir: here,
  entryPoints: ["src/app.js", "src/app.css"],
  outdir: out,
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  target: ["es2022", "chrome120", "firefox121", "safari17"],
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".woff2": "file" },
  metafile: true,
  legalComments: "none",
  logLevel: "warning",
});

for (const [file, details] of Object.entries(bundle.metafile.outputs)) {
  if (details.entryPoint) manifest[path.basename(details.entryPoint)] = path.basename(file);
  if (file.endsWith(".woff2") && file.includes("latin-wght")) manifest["inter.woff2"] = path.basename(file);
  for (const input of Object.keys(details.inputs)) {
    const found = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (found) packages.add(found[1]);
  }
}

const hashed = (name, data) => {
  const { name: stem, ext } = path.parse(name);
  const hash = createHash("sha256").update(data).digest("hex").slice(0, 8).toUpperCase();
  manifest[name] = `${stem}-${hash}${ext}`;
  return writeFile(path.join(out, manifest[name]), data);
};

const names = (await readFile(path.join(here, "icons.txt"), "utf8")).split(/\s+/).filter(Boolean);
const symbols = [];
for (const name of names) {
  const svg = await readFile(path.join(modules, "lucide-static/icons", `${name}.svg`), "utf8");
  const inner = svg.replace(/<!--[\s\S]*?-->/g, "").match(/<svg[^>]*>([\s\S]*)<\/svg>/)[1].replace(/\s+/g, " ").trim();
  symbols.push(`<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round">${inner}</symbol>`);
}
await hashed("icons.svg", `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>`);
await hashed("favicon.svg", await readFile(path.join(here, "src/favicon.svg")));

const MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.";
const notices = [];
for (const name of [...packages].sort()) {
  const root = path.join(modules, name);
  const about = JSON.parse(await readFile(path.join(root, "package.json"), "utf8"));
  const file = (await readdir(root)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? await readFile(path.join(root, file), "utf8") : about.license === "MIT" ? MIT : "";
  notices.push(`${name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
}
await writeFile(path.join(out, "THIRD-PARTY-LICENSES.txt"), notices.join("\n" + "-".repeat(80) + "\n\n"));
await writeFile(path.join(out, "manifest.json"), JSON.stringify(manifest, Object.keys(manifest).sort(), 1) + "\n");

for (const file of await readdir(out)) {
  if (!/\.(js|css|svg)$/.test(file)) continue;
  const data = await readFile(path.join(out, file));
  await writeFile(path.join(out, file + ".gz"), gzipSync(data, { level: 9 }));
  await writeFile(path.join(out, file + ".br"), brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
}

await rm(target, { recursive: true, force: true });
await rename(out, target);

if (testOut) { // the accessibility checker is for our browser tests; it is never shipped
  await mkdir(testOut, { recursive: true });
  await cp(path.join(modules, "axe-core/axe.min.js"), path.join(testOut, "axe.min.js"));
}
