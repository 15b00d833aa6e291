/** A weight is packed once, when it is loaded, and its one copy serves plans of every number of rows and of every tuning. */
import { describe, expect, it } from 'vitest';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { PlanOptions } from '../../src/tensor/plan.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose } from '../support/close.ts';
import { countDevice } from '../support/counting.ts';
import { freshGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const [inputs, outputs] = [24, 40];
const weight = randoms(outputs * inputs, 1);

async function open() {
  const gpu = await freshGpu();
  const w = Weights.open(memoryCheckpoint({ weight: { shape: [outputs, inputs], values: weight } }));
  const layer = new Linear(w.forRows(1, 64), { in: inputs, out: outputs, bias: false });
  const counter = countDevice(gpu);
  const loaded = await w.load(gpu, { tuning: { force: { linear: 'gemm-tile' } } });
  const run = async (rows: number, options: PlanOptions) => {
    const values = randoms(rows * inputs, rows);
    const x = DeviceTensor.from(gpu, values, [rows, inputs]);
    const y = DeviceTensor.create(gpu, [rows, outputs]);
    const graph = new Graph(gpu);
    graph.store(layer.forward(graph.input(x)), y);
    const before = counter.liveBytes;
    const plan = await graph.compile(options);
    expect(counter.liveBytes - before).toBe(plan.peakBytes); // nothing of the weight's size beside the plan's own
    const [{ label }] = await plan.profile();
    expectClose(await y.read(), reference.matmul(values, weight, rows, outputs, inputs), 2e-6);
    for (const d of [plan, x, y]) d.dispose();
    return label;
  };
  return { gpu, layer, loaded, counter, run };
}

describe('a weight', () => {
  it('is packed once and held once for 1 row and for many, and for variants that are forced', async () => {
    const { gpu, layer, loaded, counter, run } = await open();
    const { slice, layout } = layer.weight;
    expect(layout).toBe('panels');
    expect(loaded.bytes).toBe(64 * inputs * 4);
    expect(counter.liveBytes).toBe(loaded.bytes);
    const labels: (string | undefined)[] = [];
    for (const rows of [1, 64]) labels.push(await run(rows, {}));
    for (const linear of ['gemm-tile', 'gemv-tile']) labels.push(await run(3, { tuning: { force: { linear } } }));
    expect(labels.slice(2)).toEqual(['gemm-tile', 'gemv-tile']);
    expect(labels[0]).toMatch(/^gemv-/);
    expect(labels[1]).toMatch(/^gemm-/);
    expect(layer.weight.slice).toBe(slice);
    expect(counter.liveBytes).toBe(loaded.bytes);
    loaded.dispose();
    gpu.dispose();
  });

  it('meets a plan that refuses tuning which cannot be, and leaves nothing behind', async () => {
    const { gpu, loaded, counter, run } = await open();
    await expect(run(17, { tuning: { force: { linear: 'gemv-tile' } } })).rejects.toThrow(
      'linear: the forced variant cannot run this problem on this device',
    );
    await expect(run(1, { tuning: { force: { gemm: 'gemm-tile' } } })).rejects.toThrow(
      'there is no such op with variants',
    );
    expect(counter.liveBytes).toBe(loaded.bytes + 4 * 8 * (18 * 3 + 18 * 5)); // the inputs and outputs of the two
    loaded.dispose();
    gpu.dispose();
  });
});
