/** `pentimento bench` with a kernel that computes something else than it must. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import type { KernelCase } from '../../bench/kernels/kernel-case.ts';
import { parseBench } from '../../bench/schema.ts';
import { pentimento } from '../support/command.ts';

const ROW = 'rms-norm 64x1024 activations f32';

vi.mock('../../bench/kernel-rows.ts', async original => {
  const { kernelRows, ...rest } = await original<typeof import('../../bench/kernel-rows.ts')>();
  const wrong = (row: KernelCase): KernelCase => ({
    ...row,
    calls: row.calls.map(call => ({ ...call, params: { ...call.params, eps: 0.01 } })),
  });
  return { ...rest, kernelRows: (how: Parameters<typeof kernelRows>[0]) => kernelRows(how).map(wrong) };
});

it('ends with 1, names the row, and leaves a file that says so and tells no speed of it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pentimento-bench-'));
  try {
    const path = join(folder, 'results.json');
    const args = ['bench', 'kernels', '--filter', ROW, '--samples', '1', '--tuning', 'none', '--json', path];
    const { code, stdout, stderr } = await pentimento(args);
    expect(stderr).toContain(`a row computes something else than it must: got ${ROW}. Report it with the adapter`);
    expect(stdout).toMatch(new RegExp(`\n${ROW} +wrong +.* 1\\.[0-9]e-2 `));
    const { rows } = parseBench(await readFile(path, 'utf8'));
    const none = { minMs: null, medianMs: null, p90Ms: null, cpuMs: null, gflops: null, gbs: null, share: null };
    expect(rows).toMatchObject([{ name: ROW, wrong: true, ...none }]);
    expect(code).toBe(1);
  } finally {
    await rm(folder, { recursive: true });
  }
});
