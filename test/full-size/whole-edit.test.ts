import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { patience } from '../support/patience.ts';

/** A program of the repository, run to its end. @returns what it printed */
function run(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
}

// With the built program on the files of a whole model. On lavapipe the memory of the device is the process's; a GB is 10^9 bytes.
test.runIf(process.env.PENTIMENTO_FULL)(
  'the whole of Stable Diffusion 2.1 edits in bounded memory, with the same bits however much there is',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'pentimento-whole-'));
    const model = join(folder, 'sd21');
    const edit = (...options: readonly string[]) => {
      const output = join(folder, 'edited.png');
      const told = JSON.parse(
        run(
          ...[
            'dist/cli.js',
            'edit',
            'models/orchard/samples/apples-bowl.png',
            '--model',
            model,
            '-o',
            output,
            '--json',
          ],
          ...['--source', 'apples', '--target', 'pears', '--size', '256x256', '--seed', '0', '--guidance-scale', '1'],
          ...['--num-inference-steps', '4', '--num-maps-per-mask', '2', ...options],
        ),
      ) as { readonly peakBytes: number; readonly hostPeakBytes: number };
      return { ...told, bits: readFileSync(output) };
    };
    try {
      run('--import', './test/support/run-typescript.mjs', 'scripts/fake-weights.ts', 'sd21', model, '--dtype', 'f16');
      const free = edit();
      expect(free.hostPeakBytes).toBeLessThan(3.5e9);
      const offloaded = edit('--enable-model-cpu-offload');
      // 1.79 GB of it are the device's; what Node and the driver's compiler take comes on top.
      expect(offloaded.hostPeakBytes).toBeLessThan(2.2e9);
      expect(offloaded.bits).toEqual(free.bits);
      const budgeted = edit('--max-memory', '1.2GB');
      expect(budgeted.peakBytes).toBeLessThan(1.2e9);
      expect(budgeted.hostPeakBytes).toBeLessThan(1.6e9);
      expect(budgeted.bits).toEqual(free.bits);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  20 * patience(),
);
