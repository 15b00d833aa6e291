/** Weights on the device, byte by byte, against plain loops: packed by the host and by the kernel, in one piece and in many. */
import { beforeEach, describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { StoredTensor, TensorSource } from '../../src/core/tensor-source.ts';
import { type BufferSlice, readSlice, writeSlice } from '../../src/gpu/buffer.ts';
import { BLOCK_WORDS } from '../../src/kernels/declarations.ts';
import { packedColumns } from '../../src/kernels/pack-weight.ts';
import { Packing, type PackingOptions } from '../../src/tensor/packing.ts';
import { Parameter, type ParameterMemory } from '../../src/tensor/parameter.ts';
import { largestSizes, Staging } from '../../src/tensor/staging.ts';
import { allocate, type Piece, type Request, release, upload } from '../../src/tensor/upload.ts';
import { countDevice } from '../support/counting.ts';
import { testGpu } from '../support/gpu.ts';
import { fromHalf, toHalf } from '../support/half.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();
type Type = 'F32' | 'F16' | 'BF16';
type Part = Partial<Omit<Piece, 'stored'>> & { outputs: number; dtype?: Type };

const HEADS = { width: 5, padded: 8 };

/** Parameters by what is special about them: kind, parts, and [inputs, kernel height, kernel width]. */
const CASES: Record<string, readonly [Parameter['kind'], readonly Part[], readonly [number, number?, number?]]> = {
  matrix: ['matrix', [{ outputs: 160 }], [64]],
  'matrix of odd sizes': ['matrix', [{ outputs: 75 }], [23]],
  'convolution 3x3': ['matrix', [{ outputs: 96 }], [40, 3, 3]],
  'convolution 3x3 of odd sizes': ['matrix', [{ outputs: 33 }], [17, 3, 3]],
  'convolution 1x1': ['matrix', [{ outputs: 40 }], [24, 1, 1]],
  gates: ['matrix', [{ outputs: 384, geglu: true }], [32]],
  'gates of odd sizes': ['matrix', [{ outputs: 80, geglu: true }], [24]],
  'parts side by side': ['matrix', [{ outputs: 64 }, { outputs: 96 }, { outputs: 32 }], [48]],
  'parts that share panels, of two types': ['matrix', [{ outputs: 40 }, { outputs: 56, dtype: 'F32' }], [48]],
  'heads spread on the output': [
    'matrix',
    [
      { outputs: 150, outHeads: HEADS },
      { outputs: 150, outHeads: HEADS },
    ],
    [24],
  ],
  'heads spread on the input': ['matrix', [{ outputs: 32, inHeads: HEADS }], [150]],
  table: ['table', [{ outputs: 501 }], [64]],
  'table of an odd width': ['table', [{ outputs: 77 }], [30]],
  vector: ['vector', [{ outputs: 160 }], [1]],
  'vector of an odd size': ['vector', [{ outputs: 33 }], [1]],
  'vector of gates and of heads': [
    'vector',
    [
      { outputs: 80, geglu: true },
      { outputs: 15, outHeads: HEADS },
    ],
    [1],
  ],
};

/** All of them as parameters of one checkpoint. */
function model(type: Type): { source: TensorSource; requests: Request[] } {
  const tensors: Parameters<typeof memoryCheckpoint>[0] = {};
  const requests = Object.entries(CASES).map(([name, [kind, parts, [inputs, height = 1, width = 1]]]): Request => {
    const taps = height * width;
    let columnFirst = 0;
    const pieces = parts.map(({ dtype = type, ...part }, i): Piece => {
      const values = randoms(part.outputs * inputs * taps, inputs + i).map((x, j) => x * 2 ** -(j % 20));
      const shape = [part.outputs, inputs, height, width];
      tensors[`${name} ${i}`] = { shape, values, dtype };
      const columns = kind === 'table' ? part.outputs : packedColumns(part.outputs, part.outHeads, part.geglu);
      const stored: StoredTensor = { name: `${name} ${i}`, dtype, shape, byteLength: 0 };
      columnFirst += columns;
      return { ...part, stored, inputs, taps, columns, columnFirst: columnFirst - columns };
    });
    const heads = pieces[0]?.inHeads;
    const k = kind === 'vector' ? 1 : alignUp(heads ? (inputs / heads.width) * heads.padded : inputs, 8);
    return { parameter: new Parameter(name, kind, columnFirst, k, taps), pieces };
  });
  const source = memoryCheckpoint(tensors);
  const stored = (piece: Piece) => ({ ...piece, stored: source.tensors.get(piece.stored.name) as StoredTensor });
  return { source, requests: requests.map(r => ({ ...r, pieces: r.pieces.map(stored) })) };
}

/** Where output `o` lies among the columns of its piece. */
function columnOf({ geglu, outHeads, outputs }: Piece, o: number): number {
  if (outHeads) return Math.floor(o / outHeads.width) * outHeads.padded + (o % outHeads.width);
  if (!geglu) return o;
  const value = o % (outputs / 2);
  return Math.floor(value / 32) * 64 + (value % 32) + (o < outputs / 2 ? 0 : 32);
}

/** The bits of stored floats in a storage form, through numbers. */
function bitsOf(values: Float32Array, storage: Parameter['storage']): Uint16Array | Uint32Array {
  if (storage === 'f16' || storage === 'f16-packed') return toHalf(values);
  const bits = new Uint32Array(values.slice().buffer);
  return storage === 'f32' ? bits : Uint16Array.from(bits, b => b >>> 16);
}

/** The parameter's memory, element by element. */
async function expectedOf({ parameter, pieces }: Request, source: TensorSource): Promise<Uint32Array> {
  const { k, taps, layout, storage } = parameter;
  const columns = layout === 'rows' ? parameter.columns : alignUp(parameter.columns, 32);
  const bits = new Uint32Array(columns * k * taps);
  for (const piece of pieces) {
    const { dtype, name, byteLength } = piece.stored;
    const raw = new Uint8Array(byteLength);
    await source.read(name, 0, raw);
    const values = dtype === 'F32' ? new Float32Array(raw.buffer) : widened(new Uint16Array(raw.buffer), dtype);
    const own = bitsOf(values, storage);
    for (let at = 0; at < values.length; at++) {
      const [o, i, tap] = [Math.floor(at / (piece.inputs * taps)), Math.floor(at / taps) % piece.inputs, at % taps];
      const column = piece.columnFirst + columnOf(piece, o);
      const place = tap * k + (piece.inHeads ? Math.floor(i / 5) * 8 + (i % 5) : i);
      const panel = (Math.floor(column / 32) * k * taps + place) * 32 + (column % 32);
      bits[layout === 'rows' ? column * k * taps + place : panel] = own[at];
    }
  }
  return bits;
}

function widened(bits: Uint16Array, dtype: string): Float32Array {
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(bits, b => b << 16).buffer);
  return fromHalf(bits);
}

async function bitsOn(parameter: Parameter, count: number): Promise<Uint32Array> {
  const { slice, storage } = parameter;
  const bytes = await readSlice(gpu, slice);
  return Uint32Array.from((storage === 'f32' ? new Uint32Array(bytes) : new Uint16Array(bytes)).subarray(0, count));
}

async function expectPacked(requests: readonly Request[], source: TensorSource): Promise<void> {
  for (const request of requests) {
    const expected = await expectedOf(request, source);
    const found = await bitsOn(request.parameter, expected.length);
    const wrong = found.findIndex((bits, i) => bits !== expected[i]);
    const where = `${request.parameter.path}, ${request.parameter.storage}: element ${wrong}`;
    expect({ where, bits: found[wrong] }).toEqual({ where, bits: expected[wrong] });
  }
}

let slabs: BufferSlice[] = [];
function place(requests: readonly Request[], dtype: 'float32' | 'float16'): void {
  slabs = allocate(gpu, requests, { dtype, label: 'test' });
  // What a slot held before.
  for (const slab of slabs) writeSlice(gpu, slab, new Uint8Array(slab.size).fill(0xee));
}

async function prepared(source: TensorSource, requests: readonly Request[], options: PackingOptions = {}) {
  const packing = new Packing(gpu, source, requests, options);
  const staging = await Staging.create(gpu, packing.sizes);
  await packing.prepare(staging);
  return { packing, staging };
}

describe.each([
  { kernels: false, stagingBytes: undefined },
  { kernels: false, stagingBytes: 400_000 },
  { kernels: false, stagingBytes: 20_000 },
  { kernels: true, stagingBytes: undefined },
  { kernels: true, stagingBytes: 400_000 },
  { kernels: true, stagingBytes: 20_000 },
])('weights packed with kernels: $kernels, staging: $stagingBytes', options => {
  it.each([
    ['F32', 'float32'],
    ['F32', 'float16'],
    ['F16', 'float32'],
    ['BF16', 'float32'],
    ['BF16', 'float16'],
  ] as const)('from %s as %s are the numbers of the file in their places, padding is zero', async (type, dtype) => {
    const { source, requests } = model(type);
    place(requests, dtype);
    const counter = countDevice(gpu);
    const { packing, staging } = await prepared(source, requests, options);
    expect(counter.liveBytes).toBe(staging.deviceBytes + packing.uniformBytes);
    counter.stop();
    await packing.run();
    await expectPacked(requests, source);
    const largestPanel = 40 * 9 * 32 * 4;
    const most = Math.max(options.stagingBytes ?? 32 * 2 ** 20, 7 * alignUp(largestPanel, 256));
    expect(staging.deviceBytes + staging.hostBytes).toBeLessThanOrEqual(most);
    packing.dispose();
    staging.dispose();
    release(slabs, requests);
  });
});

describe.each([
  { kernels: false, stagingBytes: undefined },
  { kernels: true, stagingBytes: undefined },
  { kernels: true, stagingBytes: 100_000 },
])('matrices in rows, packed with kernels: $kernels, staging: $stagingBytes', options => {
  it.each([
    ['F32', 'float16'],
    ['F16', 'float16'],
    ['BF16', 'float32'],
  ] as const)('from %s as %s are the same numbers, tap after tap', async (type, dtype) => {
    const { source, requests } = model(type);
    const matrices = requests.filter(({ parameter }) => parameter.kind === 'matrix');
    place(matrices, dtype);
    for (const { parameter } of matrices) parameter.place({ ...memoryOf(parameter), layout: 'rows' });
    const { packing, staging } = await prepared(source, matrices, options);
    // At least the matrices without padding along K, whose rows begin where a binding may: each is a run or more.
    const runs = packing.uniformBytes / (4 * BLOCK_WORDS);
    if (options.kernels) expect(runs).toBeGreaterThanOrEqual(dtype === 'float16' && type === 'F16' ? 3 : 5);
    else expect(runs).toBe(0);
    await packing.run();
    await expectPacked(matrices, source);
    packing.dispose();
    staging.dispose();
    release(slabs, matrices);
  });
});

function memoryOf({ slice, storage, layout }: Parameter): ParameterMemory {
  return { slice, storage, layout };
}

describe('a packing', () => {
  const { source, requests } = model('F16');
  beforeEach(() => {
    place(requests, 'float32');
    return () => release(slabs, requests);
  });

  it.each([false, true])('runs again and again and creates nothing (kernels: %s)', async kernels => {
    const { packing, staging } = await prepared(source, requests, { kernels, stagingBytes: 100_000 });
    const counter = countDevice(gpu);
    for (let i = 0; i < 2; i++) {
      for (const slab of slabs) writeSlice(gpu, slab, new Uint8Array(slab.size).fill(i));
      await packing.run();
      await expectPacked(requests, source);
    }
    const { bindGroups, pipelines } = counter.take();
    counter.stop();
    expect({ bindGroups, pipelines, peak: counter.peakBytes > staging.deviceBytes }).toEqual({
      bindGroups: 0,
      pipelines: 0,
      peak: false,
    });
    packing.dispose();
    staging.dispose();
  });

  it('shares a staging with others, one after another', async () => {
    const halves = [requests.slice(0, 5), requests.slice(5)];
    const packings = halves.map(part => new Packing(gpu, source, part, { stagingBytes: 100_000 }));
    const staging = await Staging.create(gpu, largestSizes(packings.map(p => p.sizes)));
    for (const packing of packings) await packing.prepare(staging);
    for (const packing of packings) await packing.run();
    await expectPacked(requests, source);
    staging.dispose();
  });

  it('reads ahead of what it packs, tells of its progress, and holds no more than it says', async () => {
    const counter = countDevice(gpu);
    const packing = new Packing(gpu, source, requests, { stagingBytes: 100_000 });
    let [reading, most] = [0, 0];
    const slow: TensorSource = {
      ...source,
      read: async (name, start, into) => {
        most = Math.max(most, ++reading);
        await new Promise(resolve => setTimeout(resolve, 1));
        await source.read(name, start, into);
        reading--;
      },
    };
    const seen: number[] = [];
    const onProgress = (done: number, total: number) => {
      seen.push(done);
      expect(total).toBe(packing.fileBytes);
    };
    await upload(gpu, slow, requests, { stagingBytes: 100_000, onProgress });
    expect(counter.peakBytes).toBe(packing.sizes.mapped * packing.sizes.slots);
    expect(counter.liveBytes).toBe(0);
    counter.stop();
    expect(most).toBe(3);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe([...source.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0));
    await expectPacked(requests, source);
  });

  it('ends with the reason of its signal and with what the source throws, after the reads that are on their way', async () => {
    const { packing, staging } = await prepared(source, requests, { stagingBytes: 100_000 });
    const abort = new AbortController();
    const reason = new Error('enough');
    const seen: number[] = [];
    const onProgress = (done: number) => {
      seen.push(done);
      abort.abort(reason);
    };
    await expect(packing.run({ signal: abort.signal, onProgress })).rejects.toBe(reason);
    expect(seen).toHaveLength(1);
    let reads = 0;
    let open = 0;
    const broken: TensorSource = {
      ...source,
      read: async (name, start, into) => {
        const own = ++reads;
        open++;
        await new Promise(resolve => setTimeout(resolve, 5));
        open--;
        if (own === 2) throw reason;
        await source.read(name, start, into);
      },
    };
    await expect(upload(gpu, broken, requests, { stagingBytes: 100_000 })).rejects.toBe(reason);
    expect(open).toBe(0);
    // It can be run all the same.
    await packing.run();
    await expectPacked(requests, source);
    packing.dispose();
    staging.dispose();
  });
});
