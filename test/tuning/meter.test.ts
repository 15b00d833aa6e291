/** What a meter reads, and which clock it goes by. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { callOf } from '../../src/kernels/op.ts';
import { SOFTMAX, type SoftmaxProblem } from '../../src/kernels/softmax.ts';
import { Contender } from '../../src/tuning/contender.ts';
import { Meter } from '../../src/tuning/meter.ts';
import { OpenCase } from '../../src/tuning/open-case.ts';
import { caseOf } from '../../src/tuning/problem-case.ts';
import { testGpu } from '../support/gpu.ts';

const rows = { pitch: 256, storage: 'f32' } as const;
const SCORES: SoftmaxProblem = { rows: 512, width: 256, x: rows, y: rows };

describe('a meter', () => {
  let gpu: Gpu;
  let open: OpenCase;
  let contender: Contender;
  beforeAll(async () => {
    gpu = await testGpu();
    open = await OpenCase.open(gpu, caseOf(SOFTMAX, SCORES, gpu.caps));
    contender = await Contender.build(gpu, callOf(SOFTMAX, gpu.caps, SCORES), open);
    contender.list.submit();
    await gpu.idle();
  });
  afterAll(() => {
    contender.dispose();
    open.dispose();
  });

  it('goes by the processor on software in Node, by timestamps on cards that have them, else by the clock', async () => {
    expect(Meter.create(gpu).clock).toBe(gpu.caps.software ? 'processor' : 'timestamps');
    const bare = await testGpu({ bare: true, software: false });
    expect(Meter.create(bare).clock).toBe('clock');
    expect(() => Meter.create(bare, { clock: 'timestamps' })).toThrow('the device cannot time its own work');
    expect(() => Meter.create(gpu, { clock: 'sundial' as 'clock' })).toThrow('there is no such clock here');
  });

  it.each(['processor', 'clock', 'timestamps'] as const)('reads one run of many by: %s', async clock => {
    if (clock === 'timestamps' && !gpu.caps.timestamps) {
      expect(() => Meter.create(gpu, { clock })).toThrow('timestamp-query');
      return;
    }
    const meter = Meter.create(gpu, { clock });
    const before = gpu.memory.bytes;
    const one = await meter.measure(contender.list, 1);
    const many = await meter.measure(contender.list, 40);
    expect(gpu.memory.bytes).toBe(before);
    for (const reading of [one, many]) {
      expect(meter.costOf(reading)).toBeGreaterThan(0);
      expect(meter.costOf(reading)).toBe(clock === 'processor' ? 1000 * reading.cpu : reading.ms);
    }
    // What a submission takes is spread over its runs; a run of many is no dearer than one alone.
    expect(meter.costOf(many)).toBeLessThan(10 * meter.costOf(one));
    await expect(meter.measure(contender.list, 0)).rejects.toThrow('no number of runs');
    meter.dispose();
  });
});
