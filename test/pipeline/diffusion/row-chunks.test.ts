import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Gpu } from '../../../src/gpu/device.ts';
import { Denoiser } from '../../../src/pipeline/diffusion/denoiser.ts';
import { rowChunks } from '../../../src/pipeline/diffusion/row-chunks.ts';
import { testGpu } from '../../support/gpu.ts';
import { openPipeline } from '../../support/pipeline.ts';
import { shortRun } from '../../support/scene.ts';

describe('chunks of a batch', () => {
  const sizes = (...of: Parameters<typeof rowChunks>) => rowChunks(...of).map(c => c.end - c.first);

  it('are as equal as can be', () => {
    expect(sizes(8, 1, 8)).toEqual([8]);
    expect(sizes(8, 1, 5)).toEqual([4, 4]);
    expect(sizes(7, 1, 3)).toEqual([2, 2, 3]);
    expect(sizes(4, 1, 1)).toEqual([1, 1, 1, 1]);
  });

  it('keep the rows of a context together, or cut them by themselves', () => {
    expect(sizes(8, 4, 7)).toEqual([4, 4]);
    expect(sizes(12, 3, 6)).toEqual([6, 6]);
    expect(sizes(8, 4, 3)).toEqual([2, 2, 2, 2]);
    expect(sizes(10, 5, 2)).toEqual([1, 2, 2, 1, 2, 2]);
  });

  it('cover the batch once, none larger than asked, none over a part of several contexts', () => {
    const numbers = { contexts: fc.integer({ min: 1, max: 8 }), sharing: fc.integer({ min: 1, max: 9 }) };
    fc.assert(
      fc.property(fc.record({ ...numbers, most: fc.integer({ min: 1, max: 80 }) }), ({ contexts, sharing, most }) => {
        let end = 0;
        for (const chunk of rowChunks(contexts * sharing, sharing, most)) {
          expect(chunk.first).toBe(end);
          expect(chunk.end).toBeGreaterThan(chunk.first);
          expect(chunk.end - chunk.first).toBeLessThanOrEqual(most);
          const whole = chunk.first % sharing === 0 && chunk.end % sharing === 0;
          const within = Math.floor(chunk.first / sharing) === Math.floor((chunk.end - 1) / sharing);
          expect(whole || within).toBe(true);
          ({ end } = chunk);
        }
        expect(end).toBe(contexts * sharing);
      }),
    );
  });
});

describe('the UNet in chunks', () => {
  const args = { ...shortRun, numInferenceSteps: 2, numMapsPerMask: 1, numImagesPerPrompt: 2 };

  afterEach(() => vi.restoreAllMocks());

  /** Does something before every denoiser makes a program, as the budget of a call does, and something after. */
  function around(before: (denoiser: Denoiser) => void, after: () => void = () => {}): void {
    for (const method of ['map', 'step', 'noise'] as const) {
      const original = Denoiser.prototype[method] as (...args: unknown[]) => Promise<never>;
      vi.spyOn(Denoiser.prototype, method).mockImplementation(async function (this: Denoiser, ...rest: unknown[]) {
        before(this);
        return await original.apply(this, rest).finally(after);
      });
    }
  }

  /** What an edit gives, and the bytes of each buffer that plans of the UNet created for results, in order. */
  async function edit(gpu: Gpu) {
    const arenas: number[] = [];
    const { device } = gpu;
    const create = device.createBuffer;
    device.createBuffer = of => {
      if (/^unet .*arena/.test(of.label ?? '')) arenas.push(of.size);
      return create.call(device, of);
    };
    const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
    const { images, mask } = await pipeline.run({ ...args, outputType: 'np' });
    pipeline.dispose();
    device.createBuffer = create;
    return { values: { images, mask }, arenas };
  }
  const sum = (bytes: readonly number[]) => bytes.reduce((a, b) => a + b, 0);

  /** What the batch gives in one piece on the tests' device. */
  let inOne: Awaited<ReturnType<typeof edit>> | undefined;
  const wholeEdit = async () => {
    inOne ??= await edit(await testGpu());
    return inOne;
  };

  it.each([
    ['with broadcasts', 3],
    ['with broadcasts', 1],
    ['on a bare device', 3],
  ] as const)('gives every bit of an edit as the whole batch does: %s, %i rows at once', async (name, rows) => {
    const bare = name === 'on a bare device';
    const gpu = await testGpu(bare ? { bare } : {});
    const whole = bare ? await edit(gpu) : await wholeEdit();
    around(denoiser => {
      denoiser.rowsAtOnce = rows;
    });
    const cut = await edit(gpu);
    expect(cut.values).toEqual(whole.values);
    expect(sum(cut.arenas)).toBeLessThan(sum(whole.arenas) * (rows === 1 ? 0.5 : 0.8));
  });

  it('cuts the batch by itself where a result of the UNet would exceed a buffer', async () => {
    const gpu = await testGpu();
    const whole = await wholeEdit();
    const caps = gpu.caps as { maxBufferBytes: number };
    const { maxBufferBytes } = caps;
    const less = Math.max(...whole.arenas) / 4;
    around(
      () => {
        caps.maxBufferBytes = less;
      },
      () => {
        caps.maxBufferBytes = maxBufferBytes;
      },
    );
    const cut = await edit(gpu);
    expect(cut.values).toEqual(whole.values);
    expect(Math.max(...cut.arenas)).toBeLessThanOrEqual(less);
  });
});
