/**
 * Tiny ONNX models as bytes, and onnxruntime-node's WebGPU provider to run them: what the benchmark compares with. The
 * package is not one of ours: `npm install` in this folder brings it.
 */
import { createRequire } from 'node:module';
import { type Cost, costs } from '../cost.ts';

/** A shape to run, in the peer's own terms. */
export type PeerShape =
  | { readonly op: 'matmul'; readonly rows: number; readonly k: number; readonly columns: number }
  | {
      readonly op: 'conv3x3';
      readonly images: number;
      readonly side: number;
      readonly cin: number;
      readonly cout: number;
    }
  | { readonly op: 'attention'; readonly heads: number; readonly tokens: number; readonly width: number }
  | {
      readonly op: 'group-norm-silu';
      readonly images: number;
      readonly side: number;
      readonly channels: number;
      readonly groups: number;
    };

/** A model with its inputs, filled with `random`. */
export interface PeerModel {
  readonly bytes: Uint8Array;
  readonly inputs: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: Float32Array }>>;
}

interface Session {
  readonly inputMetadata: readonly { name: string; type: string; shape: number[] }[];
  run(feeds: object): Promise<Record<string, { data: Float32Array }>>;
  release(): Promise<void>;
}

/** What we use of onnxruntime-node. */
export interface Ort {
  listSupportedBackends(): { name: string; bundled: boolean }[];
  readonly env: { versions: Record<string, string> };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: new (type: string, data: Float32Array | BigInt64Array, dims: readonly number[]) => object;
}

/** Runs one shape `samples` times after one warm-up. */
export type PeerRunner = (
  shape: PeerShape,
  samples: number,
  random: (count: number) => Float32Array,
) => Promise<{ all: Cost[]; firstMs: number }>;

/**
 * onnxruntime-node with its WebGPU provider, or why there is none. This file and dist/chunks/onnx.js both lie two folders below
 * the root.
 */
export function loadRuntime(): Ort | { readonly missing: string } {
  let ort: Ort;
  try {
    ort = createRequire(new URL('../../bench/peers/package.json', import.meta.url))('onnxruntime-node');
  } catch {
    return { missing: 'onnxruntime-node is not installed: run npm install in bench/peers' };
  }
  if (ort.listSupportedBackends().some(b => b.name === 'webgpu')) return ort;
  return { missing: 'this build of onnxruntime-node has no WebGPU provider' };
}

/**
 * The peer, ready to run.
 * @returns its name and a runner, or why there is none
 */
export function loadPeer(): { name: string; run: PeerRunner } | { missing: string } {
  const ort = loadRuntime();
  if ('missing' in ort) return ort;
  const run: PeerRunner = async (shape, samples, random) => {
    const { bytes, inputs } = peerModel(shape, random);
    const start = performance.now();
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'], logSeverityLevel: 3 });
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, i]) => [name, new ort.Tensor('float32', i.data, i.dims)]),
    );
    await session.run(feeds);
    const firstMs = performance.now() - start;
    const all = await costs(samples, () => session.run(feeds));
    await session.release();
    return { all, firstMs };
  };
  return { name: `onnxruntime-node ${ort.env.versions['node'] ?? ''} WebGPU`, run };
}

/** The model for a shape, opset 17: attention as MatMul, Softmax, MatMul; group norm as exporters decompose it. */
function peerModel(shape: PeerShape, random: (count: number) => Float32Array): PeerModel {
  switch (shape.op) {
    case 'matmul': {
      const { rows, k, columns } = shape;
      const weights = [tensor('b', [k, columns], random(k * columns))];
      return model([node('MatMul', ['a', 'b'], 'y')], weights, { a: [rows, k] }, [rows, columns], random);
    }
    case 'conv3x3': {
      const { images, side, cin, cout } = shape;
      const weights = [tensor('w', [cout, cin, 3, 3], random(cout * cin * 9))];
      const conv = node('Conv', ['x', 'w'], 'y', [ints('kernel_shape', [3, 3]), ints('pads', [1, 1, 1, 1])]);
      return model([conv], weights, { x: [images, cin, side, side] }, [images, cout, side, side], random);
    }
    case 'attention': {
      const { heads, tokens, width } = shape;
      const scale = tensor('scale', [1], Float32Array.of(width ** -0.5));
      const nodes = [
        node('Transpose', ['k'], 'kt', [ints('perm', [0, 1, 3, 2])]),
        node('MatMul', ['q', 'kt'], 's'),
        node('Mul', ['s', 'scale'], 'scaled'),
        node('Softmax', ['scaled'], 'p', [int('axis', -1)]),
        node('MatMul', ['p', 'v'], 'y'),
      ];
      const dims = [1, heads, tokens, width];
      return model(nodes, [scale], { q: dims, k: dims, v: dims }, dims, random);
    }
    case 'group-norm-silu': {
      const { images, side, channels, groups } = shape;
      const dims = [images, channels, side, side];
      const constants = [
        tensor('ones', [groups], new Float32Array(groups).fill(1)),
        tensor('zeros', [groups], new Float32Array(groups)),
        tensor('weight', [channels, 1, 1], random(channels)),
        tensor('bias', [channels, 1, 1], random(channels)),
        shapeTensor('grouped', [images, groups, -1]),
        shapeTensor('whole', dims),
      ];
      const nodes = [
        node('Reshape', ['x', 'grouped'], 'g'),
        node('InstanceNormalization', ['g', 'ones', 'zeros'], 'n', [float('epsilon', 1e-5)]),
        node('Reshape', ['n', 'whole'], 'r'),
        node('Mul', ['r', 'weight'], 'm'),
        node('Add', ['m', 'bias'], 'h'),
        node('Sigmoid', ['h'], 'gate'),
        node('Mul', ['h', 'gate'], 'y'),
      ];
      return model(nodes, constants, { x: dims }, dims, random);
    }
  }
}

// Protocol buffers, written by hand. Field numbers are those of onnx.proto.

type Bytes = readonly number[] | Uint8Array;

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
}

function integer(field: number, value: number): number[] {
  return [...varint(field << 3), ...varint(value)];
}

function block(field: number, content: Bytes): Uint8Array {
  return join([varint((field << 3) | 2), varint(content.length), content]);
}

function text(field: number, value: string): Uint8Array {
  return block(field, new TextEncoder().encode(value));
}

function join(parts: readonly Bytes[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function node(
  op: string,
  inputs: readonly string[],
  output: string,
  attributes: readonly Uint8Array[] = [],
): Uint8Array {
  return join([
    ...inputs.map(name => text(1, name)),
    text(2, output),
    text(3, output),
    text(4, op),
    ...attributes.map(a => block(5, a)),
  ]);
}

function int(name: string, value: number): Uint8Array {
  return join([text(1, name), integer(3, value), integer(20, 2)]);
}

function float(name: string, value: number): Uint8Array {
  const bits = new Uint8Array(Float32Array.of(value).buffer);
  return join([text(1, name), [...varint((2 << 3) | 5), ...bits], integer(20, 1)]);
}

function ints(name: string, values: readonly number[]): Uint8Array {
  return join([text(1, name), ...values.map(v => integer(8, v)), integer(20, 7)]);
}

function tensor(name: string, dims: readonly number[], data: Float32Array): Uint8Array {
  return join([
    ...dims.map(d => integer(1, d)),
    integer(2, 1),
    text(8, name),
    block(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ]);
}

function shapeTensor(name: string, values: readonly number[]): Uint8Array {
  const raw = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return join([integer(1, values.length), integer(2, 7), text(8, name), block(9, raw)]);
}

function value(name: string, dims: readonly number[]): Uint8Array {
  const shape = join(dims.map(d => block(1, integer(1, d))));
  const type = block(1, join([integer(1, 1), block(2, shape)]));
  return join([text(1, name), block(2, type)]);
}

function model(
  nodes: readonly Uint8Array[],
  initializers: readonly Uint8Array[],
  inputs: Readonly<Record<string, readonly number[]>>,
  output: readonly number[],
  random: (count: number) => Float32Array,
): PeerModel {
  const graph = join([
    ...nodes.map(n => block(1, n)),
    text(2, 'bench'),
    ...initializers.map(t => block(5, t)),
    ...Object.entries(inputs).map(([name, dims]) => block(11, value(name, dims))),
    block(12, value('y', output)),
  ]);
  const opset = join([text(1, ''), integer(2, 17)]);
  const bytes = join([integer(1, 8), block(7, graph), block(8, opset)]);
  const filled = Object.entries(inputs).map(
    ([name, dims]) => [name, { dims, data: random(dims.reduce((a, b) => a * b, 1)) }] as const,
  );
  return { bytes, inputs: Object.fromEntries(filled) };
}
