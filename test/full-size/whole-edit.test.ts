import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { patience } from '../support/patience.ts';

interface Told {
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly bits: string;
  readonly finite: boolean;
}

/** An edit in a process of its own, so that its memory is its own too. */
function edit(options: object): Told {
  const args = ['--import', './test/support/run-typescript.mjs', 'test/support/whole-edit.ts', JSON.stringify(options)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout);
}

// On lavapipe the memory of the device is the process's: 10^9 bytes, as sizes of memory are sold.
test.runIf(process.env.PENTIMENTO_FULL)(
  'the whole of Stable Diffusion 2.1 edits in bounded memory, with the same bits however much there is',
  () => {
    const free = edit({});
    expect(free.finite).toBe(true);
    expect(free.residentBytes).toBeLessThan(3.5e9);
    const offloaded = edit({ modelCpuOffload: true });
    expect(offloaded.residentBytes).toBeLessThan(2.2e9);
    expect(offloaded.bits).toBe(free.bits);
    const budgeted = edit({ maxBytes: 1.2e9 });
    expect(budgeted.peakBytes).toBeLessThan(1.2e9);
    expect(budgeted.residentBytes).toBeLessThan(1.6e9);
    expect(budgeted.bits).toBe(free.bits);
  },
  20 * patience(),
);
