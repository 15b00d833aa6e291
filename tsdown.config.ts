import { defineConfig } from 'tsdown';

/** One graph for all entries, so that each class exists once however many of them a program imports. */
export default defineConfig({
  entry: {
    index: 'src/index.ts',
    node: 'src/node/index.ts',
    kernels: 'src/kernels/index.ts',
    safetensors: 'src/io/safetensors.ts',
    schedulers: 'src/schedulers/index.ts',
    cli: 'src/cli/main.ts',
    bench: 'bench/main.ts',
  },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  external: [/^node:/],
  loader: { '.wgsl': 'text' },
  fixedExtension: false,
  hash: false,
  dts: { tsconfig: 'test/tsconfig.json' },
});
