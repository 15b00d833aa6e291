/** What the tensor layer refuses while a network is recorded or loaded, before the device works. */
import { afterAll, describe, expect, it } from 'vitest';
import { dim } from '../../src/core/shape.ts';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { layoutOf } from '../../src/tensor/layout.ts';
import { attention } from '../../src/tensor/ops/attention.ts';
import { concat } from '../../src/tensor/ops/copy.ts';
import { guidedNoise, guidedStep, maskMap, STEP_SHAPE } from '../../src/tensor/ops/diffusion.ts';
import { Parameter } from '../../src/tensor/parameter.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();
const graph = new Graph(gpu);
const zeros = (...shape: number[]) => graph.input(keep(DeviceTensor.create(gpu, shape)));
const made: DeviceTensor[] = [];
const keep = (tensor: DeviceTensor) => {
  made.push(tensor);
  return tensor;
};
afterAll(() => {
  for (const tensor of made) tensor.dispose();
});

describe('a graph', () => {
  it('takes only its own tensors', () => {
    const other = new Graph(gpu);
    const [a, b] = [graph.constant([1, 2], [2]), other.constant([3, 4], [2])];
    expect(() => a.add(b)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: binary: a tensor belongs to another graph. Record both in one graph, or store one into a DeviceTensor and read it by graph.input().]`,
    );
    const target = keep(DeviceTensor.create(gpu, [2]));
    expect(() => graph.store(b, target)).toThrow('Graph.store: a tensor belongs to another graph');
    expect([graph.stores.length, graph.nodes.length]).toEqual([0, 0]);
  });

  it('has activations of float32 or float16', () => {
    const options = { dtype: 'bfloat16' } as unknown as { dtype: 'float16' };
    expect(() => new Graph(gpu, options)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: Graph: unknown dtype: expected float32 or float16, got "bfloat16" (dtype)]`,
    );
  });
});

describe('a plan', () => {
  const GONE =
    'Plan sum: a tensor that the plan reads or writes was disposed: got float32 [2]. Keep it until the last run, or record the plan again with another one.';

  it.each(['read', 'written'])('whose tensor that is %s was disposed says so at its next run', async which => {
    const [from, to] = [DeviceTensor.from(gpu, [1, 2], [2]), DeviceTensor.create(gpu, [2])];
    const own = new Graph(gpu);
    own.store(own.input(from).add(own.constant([3, 4], [2])), to);
    const plan = await own.compile({ label: 'sum' });
    plan.run();
    expect(Array.from(await to.read())).toEqual([4, 6]);
    const gone = which === 'read' ? from : to;
    gone.dispose();
    expect([from.disposed, to.disposed]).toEqual([which === 'read', which === 'written']);
    expect(() => plan.run()).toThrow(GONE);
    await expect(own.compile({ label: 'sum' })).rejects.toThrow(GONE);
    plan.dispose();
    for (const tensor of [from, to]) tensor.dispose();
    gpu.check('after'); // the device has seen none of it
  });
});

describe('shapes', () => {
  it('have the dimensions that they have, counted from either end', () => {
    expect([dim([2, 3], 0), dim([2, 3], 1), dim([2, 3], -1), dim([2, 3], -2)]).toEqual([2, 3, 3, 2]);
    expect(() => dim([2, 3], 2)).toThrowErrorMatchingInlineSnapshot(`[ShapeError: dim: no dimension 2: got [2, 3]]`);
    expect(() => dim([2, 3], -3)).toThrow('dim: no dimension -3');
  });

  it('are positive whole numbers', () => {
    for (const shape of [[], [0, 4], [2, -1], [1.5], [Number.NaN]])
      expect(() => layoutOf(shape), `${shape}`).toThrow('tensor: sizes must be positive integers');
    expect(() => DeviceTensor.create(gpu, [2, 0])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: tensor: sizes must be positive integers: got [2, 0]]`,
    );
  });
});

describe('tensors', () => {
  it('take as many values as they hold, and none once they are disposed', async () => {
    const tensor = DeviceTensor.create(gpu, [2, 3]);
    const other = keep(DeviceTensor.create(gpu, [3, 2]));
    expect(() => tensor.write([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: tensor.write: wrong number of values: expected [2, 3], got 3]`,
    );
    expect(() => tensor.copyFrom(other)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: DeviceTensor.copyFrom: the other tensor has another shape or dtype: expected float32 [2,3], got float32 [3,2]]`,
    );
    tensor.dispose();
    expect(() => tensor.write([1, 2, 3, 4, 5, 6])).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: DeviceTensor.write: the tensor was disposed: got [2, 3]. Keep it until its last use.]`,
    );
    await expect(tensor.read()).rejects.toThrow('DeviceTensor.read: the tensor was disposed');
    expect(() => tensor.copyFrom(other)).toThrow('DeviceTensor.copyFrom: the tensor was disposed');
    expect(() => tensor.copyRows(other)).toThrow('DeviceTensor.copyRows: the tensor was disposed');
    expect(() => other.copyFrom(tensor)).toThrow('DeviceTensor.copyFrom: the tensor was disposed');
    expect(() => other.copyRows(tensor)).toThrow('DeviceTensor.copyRows: the tensor was disposed');
  });

  it('are viewed and cut within what they are', () => {
    const x = zeros(2, 3, 8);
    expect(() => x.reshape([2, 4, 6])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: reshape: a view keeps rows and channels: expected 6 rows of 8, got [2,4,6], 8 rows of 6. Reshape only leading dimensions; use tokens() and image() between maps and tokens.]`,
    );
    expect(() => x.slice(0, 1, 3)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: slice: range outside the dimension: expected within 0..2, got [1, 3]]`,
    );
    for (const range of [
      [1, 1],
      [-1, 1],
      [Number.NaN, 1],
    ])
      expect(() => x.slice(2, range[0], range[1])).toThrow('slice: range outside the dimension');
  });

  it('are stored into targets of their own shape and dtype', () => {
    const target = keep(DeviceTensor.create(gpu, [2, 8], 'float16'));
    expect(() => graph.store(zeros(2, 8), target)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: Graph.store: the target has another shape or dtype: expected float32 [2,8], got float16 [2,8]]`,
    );
  });
});

describe('operations', () => {
  it('broadcast over the batch and the positions, and over nothing else', () => {
    const x = zeros(2, 3, 8);
    expect(() => x.add(zeros(2, 2, 8))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: add: the second operand does not broadcast to the first: expected [2,3,8], or 1 for the batch or all positions, got [2,2,8]]`,
    );
    for (const shape of [
      [3, 3, 8],
      [2, 3, 1],
      [2, 8],
      [2, 8, 1, 1],
    ])
      expect(() => x.mul(zeros(...shape)), `${shape}`).toThrow('mul: the second operand does not broadcast');
  });

  it('join tensors of one rank that agree but in the joined dimension', () => {
    const x = zeros(2, 3, 8);
    expect(() => concat([x, zeros(2, 4, 8)], 2)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: concat: tensors join on dimension 0 or the channels, and agree in the others: expected [2, 3, 8], got [[2, 4, 8]]]`,
    );
    for (const [shape, axis] of [
      [[2, 3, 8], 1],
      [[2, 3], 2],
      [[2, 3], 0],
      [[2, 3, 8, 1], 0],
    ] as const)
      expect(() => concat([x, zeros(...shape)], axis), `${shape}`).toThrow('concat: tensors join on');
  });

  it('attend from tokens to tokens of a batch that divides theirs', () => {
    const rows = (...shape: number[]) => ({ tensor: zeros(...shape), offset: 0 });
    const heads = { heads: 1, headWidth: 8, scale: 1 };
    const call = (q: number[], k: number[]) => () => attention(rows(...q), rows(...k), rows(...k), heads);
    expect(call([3, 4, 8], [2, 4, 8])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: attention: queries and keys are tokens, and the batch of keys divides the batch of queries: got {"q":[3,4,8],"k":[2,4,8]}. Repeat or slice the context.]`,
    );
    expect(call([1, 8, 2, 2], [1, 4, 8])).toThrow('attention: queries and keys are tokens');
    expect(call([4, 8], [1, 4, 8])).toThrow('attention: queries and keys are tokens');
  });

  it('guide by one or two predictions a picture, and map by two or four', () => {
    const [step, x, map] = [zeros(...STEP_SHAPE), zeros(2, 4, 2, 2), zeros(2, 1, 2, 2)];
    const prediction = (batch: number) => zeros(batch, 4, 2, 2);
    expect(() => guidedStep({ prediction: prediction(6), x, step })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: guidedStep: the prediction has another batch: expected [2, 4], got [6, 4, 2, 2]]`,
    );
    expect(() => guidedNoise(prediction(3), step, x)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: guidedNoise: the prediction has another batch: expected [2, 4], got [3, 4, 2, 2]]`,
    );
    expect(() => maskMap(prediction(6), step, map)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: maskMap: not two or four blocks: expected [8, 4], got [6, 4, 2, 2]]`,
    );
  });
});

describe('weights', () => {
  it('are not there before they are loaded, and are loaded once', async () => {
    expect(() => new Parameter('unet.conv_in', 'matrix', 8, 8, 9).slice).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: Parameter: the weights are not on the device (unet.conv_in). Call load() on the model before compiling a plan.]`,
    );
    const source = memoryCheckpoint({ weight: { shape: [8, 8], values: randoms(64) } });
    const w = Weights.open(source);
    const linear = new Linear(w, { in: 8, out: 8, bias: false });
    const own = new Graph(gpu);
    own.store(
      linear.forward(own.input(keep(DeviceTensor.create(gpu, [1, 8])))),
      keep(DeviceTensor.create(gpu, [1, 8])),
    );
    await expect(own.compile()).rejects.toThrow('Parameter: the weights are not on the device');
    const loaded = await w.load(gpu);
    await expect(w.load(gpu)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: load: these weights are on a device already (memory). Dispose them first.]`,
    );
    (await own.compile()).dispose(); // the failed load took nothing away
    loaded.dispose();
    (await w.load(gpu)).dispose();
  });
});
