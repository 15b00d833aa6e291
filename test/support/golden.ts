import { readFileSync } from 'node:fs';

/**
 * Golden data: test/golden/<case>/golden.safetensors (inputs, activations, outputs recorded from torch) beside golden.json
 * (arguments and versions). The reader is the tests' own on purpose: it must not share a defect with src/io.
 */

export interface GoldenTensor<T extends Float32Array | Int32Array = Float32Array | Int32Array> {
  readonly data: T;
  readonly shape: readonly number[];
}

export interface Golden {
  /** Every tensor's name, sorted. */
  readonly names: readonly string[];
  /** The parsed golden.json. */
  // biome-ignore lint/suspicious/noExplicitAny: free-form JSON, each test knows its own case
  readonly json: any;
  has(name: string): boolean;
  tensor(name: string): GoldenTensor;
  /** The same, failing unless the tensor is float32. */
  floats(name: string): GoldenTensor<Float32Array>;
  /** The same, failing unless the tensor is int32 or bytes. */
  ints(name: string): GoldenTensor<Int32Array>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const GOLDEN = new URL('../golden/', import.meta.url);

/** Reads test/golden/<name>/golden.safetensors and golden.json. */
export function loadGolden(name: string): Golden {
  const json = JSON.parse(readFileSync(new URL(`${name}/golden.json`, GOLDEN), 'utf8'));
  const bytes = readFileSync(new URL(`${name}/golden.safetensors`, GOLDEN));
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
  const entries = new Map<string, Entry>(Object.entries(header as Record<string, Entry>));

  const tensor = (key: string): GoldenTensor => {
    const entry = entries.get(key);
    if (!entry) throw new Error(`golden ${name} has no tensor ${key}; it has ${[...entries.keys()].join(', ')}`);
    const [start, end] = entry.data_offsets;
    // A copy, because the data section need not start at a multiple of four.
    const raw = new Uint8Array(bytes.subarray(8 + headerBytes + start, 8 + headerBytes + end)).buffer;
    if (entry.dtype === 'F32') return { data: new Float32Array(raw), shape: entry.shape };
    if (entry.dtype === 'I32') return { data: new Int32Array(raw), shape: entry.shape };
    if (entry.dtype === 'U8') return { data: Int32Array.from(new Uint8Array(raw)), shape: entry.shape };
    throw new Error(`golden ${name}: tensor ${key} is ${entry.dtype}, only F32, I32 and U8 are expected`);
  };

  return {
    names: [...entries.keys()].sort(),
    json,
    has: key => entries.has(key),
    tensor,
    floats(key) {
      const { data, shape } = tensor(key);
      if (!(data instanceof Float32Array)) throw new Error(`golden ${name}: tensor ${key} is not float32`);
      return { data, shape };
    },
    ints(key) {
      const { data, shape } = tensor(key);
      if (!(data instanceof Int32Array)) throw new Error(`golden ${name}: tensor ${key} is not int32`);
      return { data, shape };
    },
  };
}
