import { defineConfig } from 'tsdown';
import { ranksWithoutSources, wgslAsText } from './tsdown.config.ts';

/**
 * The worker's script in one file without an import: as Vite builds workers, they cannot be split. No entry of the package's own; worker.js,
 * which it lies beside, names it.
 */
export default defineConfig({
  entry: { 'worker-entry': 'src/worker/worker-entry.ts' },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  deps: {
    alwaysBundle: ['@huggingface/tokenizers'],
    onlyBundle: ['@huggingface/tokenizers'],
  },
  plugins: [wgslAsText, ranksWithoutSources],
  clean: false,
  fixedExtension: false,
  hash: false,
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  outputOptions: { codeSplitting: false },
  dts: false,
});
