/** ONNX models as bytes: protocol buffers written by hand, field numbers are those of onnx.proto. */

/** Parts of a model's text. */
type Bytes = readonly number[] | Uint8Array;

/** Types of elements by their numbers in onnx.proto. */
const TYPES = { float32: 1, int64: 7, float16: 10 } as const;

/** Type of a tensor's elements. */
export type OnnxType = keyof typeof TYPES;

/** A value of the graph: name, dimensions and type of its elements, f32 where it is left out. */
export interface OnnxValue {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type?: OnnxType;
}

/** A value that is known beforehand: little-endian bytes of its elements. */
export interface OnnxConstant extends OnnxValue {
  readonly data: Uint8Array;
}

/** An operation; `domain` is '' for those of ONNX itself. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Whole numbers and lists of them become ints; `{ float }` and `{ text }` say what they are. */
  readonly attributes?: Readonly<Record<string, number | readonly number[] | { float: number } | { text: string }>>;
  readonly domain?: string;
}

/** What a model is made of. */
export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly constants?: readonly OnnxConstant[];
  readonly inputs: readonly OnnxValue[];
  readonly output: OnnxValue;
}

/** Whole numbers as a constant, for shapes and bounds. */
export function wholeNumbers(name: string, values: readonly number[]): OnnxConstant {
  return {
    name,
    dims: [values.length],
    type: 'int64',
    data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
  };
}

/** The file's bytes: IR 8, opset 17 and version 1 of Microsoft's own operations. */
export function onnxFile({ nodes, constants = [], inputs, output }: OnnxGraph): Uint8Array {
  const graph = join([
    ...nodes.map(node => block(1, nodeBytes(node))),
    text(2, 'bench'),
    ...constants.map(constant => block(5, constantBytes(constant))),
    ...inputs.map(value => block(11, valueBytes(value))),
    block(12, valueBytes(output)),
  ]);
  const opsets = [opset('', 17), opset('com.microsoft', 1)];
  return join([integer(1, 8), block(7, graph), ...opsets.map(bytes => block(8, bytes))]);
}

function opset(domain: string, version: number): Uint8Array {
  return join([text(1, domain), integer(2, version)]);
}

function nodeBytes({ op, inputs, output, attributes = {}, domain = '' }: OnnxNode): Uint8Array {
  return join([
    ...inputs.map(name => text(1, name)),
    text(2, output),
    text(3, output),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => block(5, attributeBytes(name, value))),
    text(7, domain),
  ]);
}

function attributeBytes(name: string, value: NonNullable<OnnxNode['attributes']>[string]): Uint8Array {
  if (typeof value === 'number') return join([text(1, name), integer(3, value), integer(20, 2)]);
  if ('text' in value) return join([text(1, name), text(4, value.text), integer(20, 3)]);
  if ('float' in value) {
    const bits = new Uint8Array(Float32Array.of(value.float).buffer);
    return join([text(1, name), [...varint((2 << 3) | 5), ...bits], integer(20, 1)]);
  }
  return join([text(1, name), ...value.map(v => integer(8, v)), integer(20, 7)]);
}

function constantBytes({ name, dims, type = 'float32', data }: OnnxConstant): Uint8Array {
  return join([...dims.map(d => integer(1, d)), integer(2, TYPES[type]), text(8, name), block(9, data)]);
}

function valueBytes({ name, dims, type = 'float32' }: OnnxValue): Uint8Array {
  const shape = join(dims.map(d => block(1, integer(1, d))));
  return join([text(1, name), block(2, block(1, join([integer(1, TYPES[type]), block(2, shape)])))]);
}

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
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
