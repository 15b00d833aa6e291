import { defineConfig } from 'tsdown';

const ENTRIES = {
  index: 'src/index.ts',
  node: 'src/node/index.ts',
  kernels: 'src/kernels/index.ts',
  safetensors: 'src/safetensors.ts',
  schedulers: 'src/schedulers/index.ts',
};

/** One graph for all entries, so that each class exists once however many of them a program imports. */
export default defineConfig({
  entry: { ...ENTRIES, cli: 'src/cli/main.ts', bench: 'bench/main.ts', 'bench-models': 'bench/models.ts' },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  deps: { neverBundle: [/^node:/] },
  loader: { '.wgsl': 'text' },
  fixedExtension: false,
  hash: false,
  // Shared chunks lie apart: one that is called like an entry would take the place of its declarations.
  outputOptions: { chunkFileNames: 'chunks/[name].js' },
  dts: { tsconfig: 'test/tsconfig.json', entry: Object.values(ENTRIES) },
});
