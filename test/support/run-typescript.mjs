// Loader for child processes of the tests: TypeScript through esbuild, .wgsl files as text.
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { transform } from 'esbuild';

// Node loads this file again where the hooks run, in a thread of their own.
if (isMainThread) register(import.meta.url);

/** Node's load hook. */
export async function load(url, context, next) {
  if (!url.startsWith('file:') || !/\.(ts|wgsl)$/.test(url)) return next(url, context);
  const text = await readFile(fileURLToPath(url), 'utf8');
  if (url.endsWith('.wgsl')) {
    return { format: 'module', shortCircuit: true, source: `export default ${JSON.stringify(text)};` };
  }
  const { code } = await transform(text, { loader: 'ts', format: 'esm', sourcemap: 'inline' });
  return { format: 'module', shortCircuit: true, source: code };
}
