import { describe, expect, test } from 'vitest';
import { interpolatePositions } from '../../../src/models/blip/index.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { loadBlip } from '../../support/blip.ts';
import { checkpoint } from '../../support/checkpoint.ts';
import { expectClose } from '../../support/close.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { modes } from '../../support/stable-diffusion.ts';
import { evaluate, expectAllClose, tap } from '../../support/taps.ts';

const golden = loadGolden('blip');
const variants = loadGolden('blip-variants');

describe.each(modes)('the picture encoder: $name', ({ fuse, dtype, bare, tolerance }) => {
  test('meets every recorded activation', async () => {
    const gpu = await testGpu(bare ? { bare } : {});
    const { model, weights } = await loadBlip(gpu, 'blip/model', { dtype });
    const { data, shape } = golden.floats('pixel_values');
    const graph = new Graph(gpu, { dtype });
    const taps = tap(model.vision);
    const out = model.vision.forward(graph.input(DeviceTensor.from(gpu, data, shape)));
    const wanted = new Map<string, Tensor>([['vision.out', out]]);
    for (const [path, tensor] of taps) {
      const name = path.replace('vision_model', 'vision');
      if (golden.has(name)) wanted.set(name, tensor);
    }
    const recorded = golden.names.filter(name => name.startsWith('vision.'));
    expect([...wanted.keys()].sort()).toEqual(recorded);
    expectAllClose(await evaluate(graph, wanted, { fuse }), golden, tolerance);
    weights.dispose();
  });

  test('meets every block, for two pictures at once', async () => {
    const gpu = await testGpu(bare ? { bare } : {});
    const { model, weights } = await loadBlip(gpu, 'blip/model', { dtype });
    const { data, shape } = variants.floats('pixels');
    const graph = new Graph(gpu, { dtype });
    const taps = tap(model.vision);
    model.vision.forward(graph.input(DeviceTensor.from(gpu, data, shape)));
    const wanted = new Map([...taps].filter(([path]) => variants.has(path)));
    expect(wanted.size).toBe(4);
    expectAllClose(await evaluate(graph, wanted, { fuse }), variants, tolerance);
    weights.dispose();
  });
});

test.each([modes[0], modes[2]])(
  'a model of odd widths meets every block: $name',
  async ({ fuse, dtype, tolerance }) => {
    const gpu = await testGpu();
    const { model, weights } = await loadBlip(gpu, 'blip-variants/odd', { dtype });
    const { data, shape } = variants.floats('odd.pixels');
    const graph = new Graph(gpu, { dtype });
    const taps = tap(model.vision);
    model.vision.forward(graph.input(DeviceTensor.from(gpu, data, shape)));
    const wanted = new Map([...taps].map(([path, t]) => [`odd.${path}`, t] as const).filter(([k]) => variants.has(k)));
    expect(wanted.size).toBe(3);
    expectAllClose(await evaluate(graph, wanted, { fuse }), variants, tolerance);
    weights.dispose();
  },
);

async function positionTable() {
  const source = await checkpoint('blip/model/model.safetensors');
  const bytes = new Uint8Array(37 * 40 * 4);
  await source.read('vision_model.embeddings.position_embedding', 0, bytes);
  await source.close?.();
  return { data: new Float32Array(bytes.buffer), shape: [37, 40] };
}

describe.each(['64x64', '48x96', '40x24', '71x83'])('pictures of %s', size => {
  const [height, width] = size.split('x').map(Number) as [number, number];

  test('get position embeddings interpolated as torch does it', async () => {
    const expected = variants.floats(`size.${size}.positions`);
    const actual = interpolatePositions(await positionTable(), [Math.floor(height / 8), Math.floor(width / 8)]);
    expect(actual.shape).toEqual(expected.shape.slice(1));
    expectClose(actual.data, expected.data, 1e-6);
  });

  test('are encoded with them', async () => {
    const gpu = await testGpu();
    const { model, weights } = await loadBlip(gpu, 'blip/model');
    const table = interpolatePositions(await positionTable(), [Math.floor(height / 8), Math.floor(width / 8)]);
    const { data, shape } = variants.floats(`size.${size}.pixels`);
    const graph = new Graph(gpu);
    const positions = graph.constant(table.data, [1, ...table.shape]);
    const out = model.vision.forward(graph.input(DeviceTensor.from(gpu, data, shape)), positions);
    const values = await evaluate(graph, new Map([[`size.${size}.out`, out]]), { fuse: true });
    expectAllClose(values, variants, 1e-4);
    weights.dispose();
  });
});

test('the trained grid keeps its positions to the bit', async () => {
  const table = await positionTable();
  expect(interpolatePositions(table, [6, 6])).toBe(table);
});

test('refuses tables without a square grid, pictures of another size, and positions of another grid', async () => {
  expect(() =>
    interpolatePositions({ data: new Float32Array(12), shape: [6, 2] }, [3, 3]),
  ).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: interpolatePositions: not a table of a class token and a square grid: expected [1 + g * g, D], got [6, 2]]`,
  );
  const gpu = await testGpu();
  const { model, weights } = await loadBlip(gpu, 'blip/model');
  const graph = new Graph(gpu);
  const input = (...shape: number[]) => graph.input(DeviceTensor.create(gpu, shape));
  expect(() => model.vision.forward(input(1, 3, 48, 56))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blipVision: pictures of another size: expected [N, 3, 48, 48], got [1, 3, 48, 56]. Resize the picture, or pass positions from interpolatePositions().]`,
  );
  expect(() => model.vision.forward(input(1, 1, 48, 48))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blipVision: not pictures: expected [N, 3, H, W], sides of at least 8, got [1, 1, 48, 48]]`,
  );
  expect(() => model.vision.forward(input(1, 3, 48, 7))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blipVision: not pictures: expected [N, 3, H, W], sides of at least 8, got [1, 3, 48, 7]]`,
  );
  expect(() => model.vision.forward(input(1, 3, 48, 56), input(1, 37, 40))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blipVision: positions of another grid: expected [1, 43, 40], got [1, 37, 40]]`,
  );
  weights.dispose();
});
