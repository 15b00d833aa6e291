import { defineConfig } from 'tsdown';

const ENTRIES = {
  index: 'src/index.ts',
  node: 'src/node/index.ts',
  kernels: 'src/kernels/index.ts',
  safetensors: 'src/io/safetensors.ts',
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
  // Public types speak of GPUDevice and the like, which no TypeScript library declares yet.
  banner: { dts: '/// <reference types="@webgpu/types" />' },
  dts: { tsconfig: 'test/tsconfig.json', entry: Object.values(ENTRIES) },
});
