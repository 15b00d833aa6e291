/** Operations as ONNX graphs: as exporters write them, and with Microsoft's fused operations where there are any. */
import { halvesOfFloats } from '../../src/core/convert-bits.ts';
import type { PeerProblem } from './engine.ts';
import type { OnnxConstant, OnnxGraph, OnnxNode } from './onnx-file.ts';
import { wholeNumbers } from './onnx-file.ts';
import { permuted } from './permuted.ts';

/** A graph with the values of its inputs. */
export interface OnnxForm {
  readonly name: string;
  readonly graph: Omit<OnnxGraph, 'inputs'>;
  readonly inputs: readonly { readonly name: string; readonly dims: readonly number[]; readonly data: Floats }[];
  /** What convolutions shall have, where it is not the engine's own choice. */
  readonly layout?: 'NCHW' | 'NHWC';
  /** The result in the layout of `PeerProblem`. */
  arranged(result: Float32Array): Float32Array;
}

type Floats = Float32Array<ArrayBuffer>;
type Constants = (name: string, dims: readonly number[], data: Floats) => OnnxConstant;

const asItIs = (result: Float32Array): Float32Array => result;

/** Every form of an operation. */
export function onnxForms(problem: PeerProblem): OnnxForm[] {
  const type = problem.half ? 'float16' : 'float32';
  const constant: Constants = (name, dims, data) => {
    const stored = problem.half ? halvesOfFloats(data) : data;
    return { name, dims, type, data: new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength) };
  };
  switch (problem.op) {
    case 'matmul':
      return [matmul(problem, constant)];
    case 'conv3x3':
      return [conv(problem, constant, 'NHWC'), conv(problem, constant, 'NCHW')];
    case 'attention':
      return [fusedAttention(problem), attention(problem, constant)];
    case 'group-norm-silu':
      return [fusedGroupNorm(problem, constant), groupNorm(problem, constant)];
    case 'layer-norm':
      return [layerNorm(problem, constant)];
    case 'rms-norm':
      return [rmsNorm(problem, constant)];
    case 'softmax':
      return [softmax(problem)];
  }
}

function sizesOf({ sizes }: PeerProblem): (name: string) => number {
  return name => sizes[name] ?? Number.NaN;
}

function operandsOf({ operands }: PeerProblem): (name: string) => Floats {
  return name => operands[name] ?? new Float32Array();
}

function output(problem: PeerProblem, dims: readonly number[]): OnnxGraph['output'] {
  return { name: 'y', dims, type: problem.half ? 'float16' : 'float32' };
}

function matmul(problem: PeerProblem, constant: Constants): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [rows, k, columns] = [size('rows'), size('k'), size('columns')];
  const graph = {
    nodes: [{ op: 'MatMul', inputs: ['a', 'b'], output: 'y' }],
    constants: [constant('b', [k, columns], operand('b'))],
    output: output(problem, [rows, columns]),
  };
  return { name: 'MatMul', graph, inputs: [{ name: 'a', dims: [rows, k], data: operand('a') }], arranged: asItIs };
}

/** Pictures as ONNX has them, [images, channels, height, width]. */
function channelsFirst(problem: PeerProblem, channels: number): { dims: number[]; data: Floats } {
  const size = sizesOf(problem);
  const [images, height, width] = [size('images'), size('height'), size('width')];
  const data = permuted(operandsOf(problem)('x'), [images, height * width, channels], [0, 2, 1]);
  return { dims: [images, channels, height, width], data };
}

function channelsLast([images = 0, channels = 0, height = 0, width = 0]: readonly number[]) {
  return (result: Float32Array): Float32Array => permuted(result, [images, channels, height * width], [0, 2, 1]);
}

function conv(problem: PeerProblem, constant: Constants, layout: 'NCHW' | 'NHWC'): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [cin, cout] = [size('cin'), size('cout')];
  const x = channelsFirst(problem, cin);
  const dims = [size('images'), cout, size('height'), size('width')];
  const weights = permuted(operand('w'), [9, cin, cout], [2, 1, 0]);
  const graph = {
    nodes: [{ op: 'Conv', inputs: ['x', 'w'], output: 'y', attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } }],
    constants: [constant('w', [cout, cin, 3, 3], weights)],
    output: output(problem, dims),
  };
  return { name: `Conv, ${layout}`, graph, inputs: [{ name: 'x', ...x }], layout, arranged: channelsLast(dims) };
}

/** Microsoft's MultiHeadAttention: [1, tokens, heads * width], as ours. */
function fusedAttention(problem: PeerProblem): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [heads, queries, keys, width] = [size('heads'), size('queries'), size('keys'), size('width')];
  const attributes = { num_heads: heads };
  const node: OnnxNode = {
    ...{ op: 'MultiHeadAttention', domain: 'com.microsoft', inputs: ['q', 'k', 'v'], output: 'y', attributes },
  };
  const dims = (tokens: number): number[] => [1, tokens, heads * width];
  return {
    name: 'MultiHeadAttention',
    graph: { nodes: [node], output: output(problem, dims(queries)) },
    inputs: ['q', 'k', 'v'].map(name => ({ name, dims: dims(name === 'q' ? queries : keys), data: operand(name) })),
    arranged: asItIs,
  };
}

/** MatMul, Softmax, MatMul over [1, heads, tokens, width]; keys come transposed. */
function attention(problem: PeerProblem, constant: Constants): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [heads, queries, keys, width] = [size('heads'), size('queries'), size('keys'), size('width')];
  const nodes: OnnxNode[] = [
    { op: 'MatMul', inputs: ['q', 'k'], output: 's' },
    { op: 'Mul', inputs: ['s', 'scale'], output: 'scaled' },
    { op: 'Softmax', inputs: ['scaled'], output: 'p', attributes: { axis: -1 } },
    { op: 'MatMul', inputs: ['p', 'v'], output: 'y' },
  ];
  const split = (name: string, tokens: number): Floats => permuted(operand(name), [tokens, heads, width], [1, 0, 2]);
  const dims = [1, heads, queries, width];
  return {
    name: 'MatMul, Softmax, MatMul',
    graph: {
      nodes,
      constants: [constant('scale', [1], Float32Array.of(width ** -0.5))],
      output: output(problem, dims),
    },
    inputs: [
      { name: 'q', dims, data: split('q', queries) },
      {
        name: 'k',
        dims: [1, heads, width, keys],
        data: permuted(operand('k'), [keys, heads, width], [1, 2, 0]),
      },
      { name: 'v', dims: [1, heads, keys, width], data: split('v', keys) },
    ],
    arranged: result => permuted(result, [heads, queries, width], [1, 0, 2]),
  };
}

/** Microsoft's GroupNorm, channels last with SiLU; not every build has it on WebGPU. */
function fusedGroupNorm(problem: PeerProblem, constant: Constants): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const channels = size('channels');
  const dims = [size('images'), size('height'), size('width'), channels];
  const attributes = { activation: 1, channels_last: 1, groups: size('groups'), epsilon: { float: problem.eps } };
  const node: OnnxNode = {
    ...{ op: 'GroupNorm', domain: 'com.microsoft', inputs: ['x', 'weight', 'bias'], output: 'y', attributes },
  };
  const constants = ['weight', 'bias'].map(name => constant(name, [channels], operand(name)));
  return {
    name: 'GroupNorm',
    graph: { nodes: [node], constants, output: output(problem, dims) },
    inputs: [{ name: 'x', dims, data: operand('x') }],
    arranged: asItIs,
  };
}

/** As exporters write it. */
function groupNorm(problem: PeerProblem, constant: Constants): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [images, channels, groups] = [size('images'), size('channels'), size('groups')];
  const x = channelsFirst(problem, channels);
  const nodes: OnnxNode[] = [
    { op: 'Reshape', inputs: ['x', 'grouped'], output: 'g' },
    {
      op: 'InstanceNormalization',
      inputs: ['g', 'ones', 'zeros'],
      output: 'n',
      attributes: { epsilon: { float: problem.eps } },
    },
    { op: 'Reshape', inputs: ['n', 'whole'], output: 'r' },
    { op: 'Mul', inputs: ['r', 'weight'], output: 'm' },
    { op: 'Add', inputs: ['m', 'bias'], output: 'h' },
    { op: 'Sigmoid', inputs: ['h'], output: 'gate' },
    { op: 'Mul', inputs: ['h', 'gate'], output: 'y' },
  ];
  const constants = [
    constant('ones', [groups], new Float32Array(groups).fill(1)),
    constant('zeros', [groups], new Float32Array(groups)),
    constant('weight', [channels, 1, 1], operand('weight')),
    constant('bias', [channels, 1, 1], operand('bias')),
    wholeNumbers('grouped', [images, groups, -1]),
    wholeNumbers('whole', x.dims),
  ];
  return {
    name: 'InstanceNormalization, Mul, Add, Sigmoid, Mul',
    graph: { nodes, constants, output: output(problem, x.dims) },
    inputs: [{ name: 'x', ...x }],
    arranged: channelsLast(x.dims),
  };
}

function layerNorm(problem: PeerProblem, constant: Constants): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [rows, width] = [size('rows'), size('width')];
  const node: OnnxNode = {
    op: 'LayerNormalization',
    inputs: ['x', 'weight', 'bias'],
    output: 'y',
    attributes: { axis: -1, epsilon: { float: problem.eps } },
  };
  const constants = ['weight', 'bias'].map(name => constant(name, [width], operand(name)));
  const dims = [rows, width];
  const graph = { nodes: [node], constants, output: output(problem, dims) };
  return { name: node.op, graph, inputs: [{ name: 'x', dims, data: operand('x') }], arranged: asItIs };
}

/** onnxruntime's own operation for it. */
function rmsNorm(problem: PeerProblem, constant: Constants): OnnxForm {
  const [size, operand] = [sizesOf(problem), operandsOf(problem)];
  const [rows, width] = [size('rows'), size('width')];
  const node: OnnxNode = {
    op: 'SimplifiedLayerNormalization',
    inputs: ['x', 'weight'],
    output: 'y',
    attributes: { axis: -1, epsilon: { float: problem.eps } },
  };
  const dims = [rows, width];
  const constants = [constant('weight', [width], operand('weight'))];
  const graph = { nodes: [node], constants, output: output(problem, dims) };
  return { name: node.op, graph, inputs: [{ name: 'x', dims, data: operand('x') }], arranged: asItIs };
}

function softmax(problem: PeerProblem): OnnxForm {
  const size = sizesOf(problem);
  const dims = [size('rows'), size('width')];
  const node: OnnxNode = { op: 'Softmax', inputs: ['x'], output: 'y', attributes: { axis: -1 } };
  const graph = { nodes: [node], output: output(problem, dims) };
  return { name: node.op, graph, inputs: [{ name: 'x', dims, data: operandsOf(problem)('x') }], arranged: asItIs };
}
