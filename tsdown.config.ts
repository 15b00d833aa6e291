import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'tsdown';

const ENTRIES = {
  index: 'src/index.ts',
  node: 'src/node/index.ts',
  kernels: 'src/kernels/index.ts',
  safetensors: 'src/safetensors.ts',
  schedulers: 'src/schedulers/index.ts',
  page: 'src/page.ts',
  worker: 'src/worker/index.ts',
  tuning: 'src/tuning.ts',
  queue: 'src/queue/index.ts',
};

/** Kernels as text without comments and indentation, a fifteenth of the page's bundle; lines keep their numbers for messages. */
export const wgslAsText = {
  name: 'wgsl-as-text',
  load(id: string) {
    if (!id.endsWith('.wgsl')) return null;
    const lines = readFileSync(id, 'utf8').split('\n');
    const text = lines.map(line => line.replace(/\/\/.*$/, '').trim()).join('\n');
    return { code: `export default ${JSON.stringify(text)};`, moduleType: 'js' as const };
  },
};

/** Ranks without their sources, which are for readers. */
export const ranksWithoutSources = {
  name: 'ranks-without-sources',
  load(id: string) {
    if (!id.endsWith('ranks.json')) return null;
    const { version, ranks } = JSON.parse(readFileSync(id, 'utf8')) as { version: number; ranks: object[] };
    const rows = ranks.map(row => ({ ...row, source: undefined }));
    return { code: `export default ${JSON.stringify({ version, ranks: rows })};`, moduleType: 'js' as const };
  },
};

type Graph = { getModuleInfo(id: string): { readonly importedIds: readonly string[] } | null };

/** Modules that some modules load at once, they too. */
function loadedAtOnce(roots: readonly string[], graph: Graph): ReadonlySet<string> {
  const found = new Set<string>();
  const walk = (id: string): void => {
    if (found.has(id)) return;
    found.add(id);
    for (const next of graph.getModuleInfo(id)?.importedIds ?? []) walk(next);
  };
  for (const root of roots) walk(resolve(root));
  return found;
}

/** What programs begin with, and what they load by `import()` and entries load too: no other bundler cuts a file of ours in two. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    Object.entries(ENTRIES)
      .filter(([name]) => !['tuning', 'queue'].includes(name)) // which take with them what models take
      .map(([name, path]) => [name, [path]]),
  ),
  edit: ['src/pipeline/diffedit/pipeline.ts', 'src/io/load-image.ts'],
  model: ['src/pipeline/diffedit/edit-model.ts'],
};

let loaded: ReadonlyMap<string, ReadonlySet<string>> | undefined;

/** The parts that load a module at once. */
function partsOf(id: string, graph: Graph): string[] {
  loaded ??= new Map(Object.entries(PARTS).map(([name, roots]) => [name, loadedAtOnce(roots, graph)]));
  return [...loaded].filter(([, modules]) => modules.has(id)).map(([name]) => name);
}

/**
 * What the same parts load at once is one chunk. By itself the bundler cuts wherever something that is loaded later has a
 * module in common with them: thirty chunks, which are a fifteenth larger when they are compressed.
 * Those of many parts come first: a chunk takes the modules with it that its own import.
 */
const chunksByParts = Object.keys(PARTS).map((_, i, all) => ({
  priority: all.length - i,
  name: (id: string, graph: Graph): string | null => {
    const parts = partsOf(id, graph);
    const shared = parts.includes('index') || parts.includes('model');
    return parts.length === all.length - i && shared ? `of-${parts.join('-')}` : null;
  },
}));

/**
 * The faces of the pipelines that make pictures: no part of what DiffEdit's page loads at once. What they load has all that edits beside it:
 * cut in two, that would be larger for DiffEdit.
 */
const PICTURES = {
  name: 'pictures',
  // Before what the index alone has, behind what they share with others: a chunk takes the modules with it that its own import.
  priority: 1.5,
  test: /pipeline\/image-generation\/(text-to-image|image-to-image|inpaint|generation-pipeline)\.ts$/,
};

/** One graph for all entries, so that each class exists once however many of them a program imports. */
export default defineConfig({
  entry: {
    ...ENTRIES,
    cli: 'src/cli/main.ts',
    'picture-thread': 'src/node/picture-thread-script.ts',
    'bench-models': 'bench/models.ts',
    'bench-loading': 'bench/loading.ts',
    'bench-quality': 'bench/quality.ts',
    'bench-peer': 'bench/peers/peer.ts',
  },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  deps: {
    neverBundle: [/^node:/],
    // Import maps of a page do not reach its workers: what the worker's script imports by a bare name would not be found.
    alwaysBundle: ['@huggingface/tokenizers'],
    onlyBundle: ['@huggingface/tokenizers'],
  },
  plugins: [wgslAsText, ranksWithoutSources],
  fixedExtension: false,
  hash: false,
  // Shared chunks lie apart: one that is called like an entry would take the place of its declarations.
  outputOptions: { chunkFileNames: 'chunks/[name].js', codeSplitting: { groups: [PICTURES, ...chunksByParts] } },
  dts: { tsconfig: 'test/tsconfig.json', entry: Object.values(ENTRIES) },
});
