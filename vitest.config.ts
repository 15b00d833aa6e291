import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { patience } from './test/support/patience.ts';
import { LongestFirst } from './test/support/sequencer.ts';

/** `import source from 'x.wgsl'` gives the text, as tsdown's text loader does in the build. */
export const wgslAsText = {
  name: 'wgsl-as-text',
  enforce: 'pre' as const,
  load(id: string) {
    return id.endsWith('.wgsl') ? `export default ${JSON.stringify(readFileSync(id, 'utf8'))};` : null;
  },
};

export default defineConfig({
  plugins: [wgslAsText],
  // The examples import the package by its name.
  resolve: {
    alias: [
      { find: /^pentimento$/, replacement: fileURLToPath(new URL('src/index.ts', import.meta.url)) },
      { find: /^pentimento\/node$/, replacement: fileURLToPath(new URL('src/node/index.ts', import.meta.url)) },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/setup.ts'],
    reporters: ['./test/support/reporter.ts'],
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
    // Importing and building pipelines once a process takes a third off; test/support/setup.ts cleans up between files.
    isolate: false,
    maxWorkers: 2,
    // test/support/setup.ts sets them anew for each file, by the speed that the machine has then.
    testTimeout: patience(),
    hookTimeout: patience(),
    teardownTimeout: patience(30_000),
  },
});
