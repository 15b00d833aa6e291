// Behind a build: files at the package's root that lead to dist/, for tools that know `main` and folders but not `exports`: TypeScript's
// node10 resolution, Parcel without packageExports. They are made by the build and shipped; git ignores them.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

for (const [entry, target] of Object.entries(exports)) {
  if (entry === '.' || typeof target === 'string') continue;
  const text = `export * from '${target.default}';\n`;
  writeFileSync(join(ROOT, `${entry}.js`), text);
  writeFileSync(join(ROOT, `${entry}.d.ts`), text);
}

/**
 * The index as `export *` of one small file for each chunk. esbuild takes all that a file with named exports imports for loaded at once,
 * where anything loads it later: a page that names two of the index's two hundred exports would load everything that a model needs.
 */
function indexOfStars() {
  const path = join(ROOT, 'dist/index.js');
  const statements = readFileSync(path, 'utf8')
    .split(/(?<=;)\n/)
    .filter(line => line.trim() !== '');
  const origins = new Map(); // by local name
  const exported = new Map(); // by chunk
  for (const statement of statements) {
    const [, word, list, from] =
      /^(import|export) \{([^}]*)\}(?: from "\.\/chunks\/([^"]+)")?;\s*$/.exec(statement) ?? [];
    if (word === undefined || (word === 'import') !== (from !== undefined)) {
      throw new Error(`dist/index.js: a statement that is neither imports of a chunk nor exports: ${statement}`);
    }
    for (const [name, other = name] of list.split(',').map(each => each.trim().split(' as '))) {
      if (from !== undefined) {
        origins.set(other, { name, from });
        continue;
      }
      const origin = origins.get(name);
      exported.set(origin.from, [...(exported.get(origin.from) ?? []), `${origin.name} as ${other}`]);
    }
  }
  mkdirSync(join(ROOT, 'dist/exports'), { recursive: true });
  for (const [chunk, names] of exported) {
    writeFileSync(join(ROOT, 'dist/exports', chunk), `export { ${names.join(', ')} } from "../chunks/${chunk}";\n`);
  }
  writeFileSync(path, [...exported.keys()].map(chunk => `export * from "./exports/${chunk}";\n`).join(''));
}

indexOfStars();

// The built files hold this package, whose licence goes where they go.
copyFileSync(join(ROOT, 'node_modules/@huggingface/tokenizers/LICENSE'), join(ROOT, 'dist/LICENSE-tokenizers'));
