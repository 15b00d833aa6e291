// Behind a build: files at the package's root that lead to dist/, for tools that know `main` and folders but not `exports`: TypeScript's
// node10 resolution, Parcel without packageExports. They are made by the build and shipped; git ignores them.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
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

// The built files hold this package, whose licence goes where they go.
copyFileSync(join(ROOT, 'node_modules/@huggingface/tokenizers/LICENSE'), join(ROOT, 'dist/LICENSE-tokenizers'));
