/** Micro-kernels of the ceilings: they compile in every form, compute what they must, and are there as far as the device is. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { measureCeilings } from '../../bench/ceilings.ts';
import { DeviceError } from '../../src/core/errors.ts';
import type { OptionalFeature } from '../../src/gpu/device.ts';
import { specialize } from '../../src/gpu/specialize.ts';
import { requestGpu } from '../../src/node/device.ts';
import { Meter } from '../../src/tuning/meter.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';

const text = (name: string): string =>
  readFileSync(
    new URL(`../../${name.includes('/') ? `wgsl/${name}` : `bench/ceilings/${name}`}.wgsl`, import.meta.url),
    'utf8',
  );

/** Small and short. */
const QUICK = { samples: 1, leastMs: 1, copyBytes: 2 ** 20, chains: [2] } as const;

describe('micro-kernels', () => {
  it('compile in every form', async () => {
    const gpu = await requestGpu({ dawnFlags: ['backend=null'] });
    const sources = [
      ...['f32', 'f16'].flatMap(type =>
        [2, 3, 4].map(CHAINS => specialize('fma', text('fma'), [], { Vector: `vec4<${type}>`, Scalar: type, CHAINS })),
      ),
      text('copy'),
      ...['lib/matrix-entry', 'lib/matrix-entry-pinned'].map(entry =>
        specialize('matrix', text('matrix'), [text(entry)], {}),
      ),
    ];
    for (const code of sources) {
      const module = gpu.device.createShaderModule({ code });
      const { messages } = await module.getCompilationInfo();
      expect(messages.map(({ lineNum, message }) => `${lineNum}: ${message}`)).toEqual([]);
    }
    gpu.dispose();
  });

  it.each<readonly OptionalFeature[]>([['f16', 'matrix']])(
    'are left out where the device lacks %s',
    async (...without) => {
      const gpu = await freshGpu({ half: 'f16-packed', without });
      const meter = Meter.create(gpu);
      const ceilings = await measureCeilings(gpu, meter, QUICK);
      expect(ceilings).toMatchObject({ fmaF16: null, matrix: null, copyBytes: 2 ** 20 });
      expect(ceilings.fmaF32).toBeGreaterThan(0.1);
      expect(ceilings.copy).toBeGreaterThan(0.01);
      meter.dispose();
      gpu.dispose();
    },
  );

  it('are measured, halves and matrix units too, where it has them', async () => {
    const gpu = await testGpu({ matrixUnits: true });
    const meter = Meter.create(gpu);
    const { fmaF16, matrix } = await measureCeilings(gpu, meter, QUICK);
    expect(fmaF16 !== null).toBe(gpu.device.features.has('shader-f16'));
    expect(matrix !== null).toBe(gpu.caps.matrix !== undefined);
    for (const rate of [fmaF16, matrix]) if (rate !== null) expect(rate).toBeGreaterThan(0.01);
    meter.dispose();
  });

  it('that compute something else end the benchmark', async () => {
    const gpu = await testGpu();
    // Nothing runs: what should have been copied is not there.
    const idle = { measure: async () => ({ ms: 1, cpu: 1e-3 }), costOf: () => 1 } as unknown as Meter;
    const failed = measureCeilings(gpu, idle, QUICK);
    await expect(failed).rejects.toThrow(DeviceError);
    await expect(failed).rejects.toThrow(/^copy: a micro-kernel of the ceilings computes something else than it must/);
  });
});
