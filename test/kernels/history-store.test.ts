import { describe, expect, it } from 'vitest';
import type { Caps } from '../../src/gpu/caps.ts';
import { historyStore } from '../../src/kernels/history-store.ts';
import { packStep, STEP_BYTES, type StepValues } from '../../src/kernels/step.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, runBothWays, unpadRows } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';

const f32 = (values: ArrayLike<number>, width: number): Operand => ({ storage: 'f32', values: padRows(values, width) });
const step = (values: StepValues): Operand => ({ words: new Uint32Array(packStep(values)) });

describe('history store and the step buffer', () => {
  it('stores latents in their entry of the history and nowhere else', async () => {
    const gpu = await testGpu();
    const x = randoms(35 * 4, 1);
    const before = randoms(3 * 35 * 4, 2);
    const store = async (historyIndex: number, caps: Pick<Caps, 'maxBindingBytes'>) => {
      const { history } = await runBothWays(gpu, historyStore(caps, { rows: 35, pitch: 8, entries: 3 }), {
        x: f32(x, 4),
        step: step({ historyIndex }),
        history: f32(before, 4),
      });
      return unpadRows(history, 4);
    };
    // All entries in one binding, two of them (35 rows of 32 bytes each), one, less than one.
    for (const maxBindingBytes of [gpu.caps.maxBindingBytes, 2500, 1500, 300]) {
      const caps = { maxBindingBytes };
      expectClose(await store(1, caps), [...before.slice(0, 140), ...x, ...before.slice(280)], 0);
      expectClose(await store(2, caps), [...before.slice(0, 280), ...x], 0);
      expectClose(await store(3, caps), before, 0);
    }
  });

  it('packs what changes between steps into 64 bytes', () => {
    const bytes = packStep({
      guidance: 2,
      mapWeight: 0.25,
      mapFirst: true,
      referenceIndex: 3,
      historyIndex: 4,
      stepNumber: 5,
    });
    expect(bytes.byteLength).toBe(STEP_BYTES);
    expect([...new Float32Array(bytes, 0, 10)]).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 0, 0.25]);
    expect([...new Uint32Array(bytes, 40)]).toEqual([1, 3, 4, 5, 0, 0]);
  });

  it('refuses a pitch that is no multiple of 8', () => {
    expect(() =>
      historyStore({ maxBindingBytes: 1024 }, { rows: 1, pitch: 6, entries: 1 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: history-store: a row of 6 needs a pitch that holds it: expected a multiple of 8, at least 6, got 6 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
