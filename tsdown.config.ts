import { defineConfig } from 'tsdown';

const shared = {
  format: 'esm' as const,
  target: 'es2022',
  loader: { '.wgsl': 'text' as const },
  fixedExtension: false,
  hash: false,
};

export default defineConfig([
  {
    ...shared,
    entry: {
      index: 'src/index.ts',
      kernels: 'src/kernels/index.ts',
      safetensors: 'src/io/safetensors.ts',
      schedulers: 'src/schedulers/index.ts',
    },
    platform: 'neutral',
    dts: { tsconfig: 'tsconfig.json' },
  },
  {
    ...shared,
    entry: { node: 'src/node/index.ts', cli: 'src/cli/main.ts', bench: 'bench/main.ts' },
    platform: 'node',
    clean: false,
    dts: false,
  },
]);
