import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { goldenPath } from './checkpoint.ts';
import { fill } from './fake-weights.ts';
import { fromHalf } from './half.ts';

/** Files whose tensors scripts/golden/single_file.py lists: two small models and the two published architectures. */
export type LdmFile = 'tiny1' | 'tiny2' | 'sd15' | 'sd21';

const NAMES: Readonly<Record<LdmFile, Readonly<Record<string, number[]>>>> = JSON.parse(
  gunzipSync(readFileSync(goldenPath('single-file/names.json.gz'))).toString(),
);

/** Names and shapes of a file. */
export function ldmShapes(file: LdmFile): Map<string, { readonly shape: readonly number[] }> {
  return new Map(Object.entries(NAMES[file]).map(([name, shape]) => [name, { shape }]));
}

/** The tensors of a small file: halves that are a function of name and index. */
export function ldmTensors(file: 'tiny1' | 'tiny2', { average = false } = {}): Record<string, WritableTensor> {
  const tensors: Record<string, WritableTensor> = {};
  const add = (name: string, shape: readonly number[]): void => {
    const data = new Uint16Array(shape.reduce((a, b) => a * b, 1));
    fill({ name, shape }, 0, data);
    tensors[name] = { dtype: 'F16', shape, data };
  };
  for (const [name, shape] of Object.entries(NAMES[file])) {
    if (name.endsWith('position_ids')) {
      tensors[name] = { dtype: 'I64', shape, data: BigInt64Array.from({ length: 77 }, (_, i) => BigInt(i)) };
    } else add(name, shape);
    if (average && name.startsWith('model.diffusion_model.')) {
      add(`model_ema.${name.slice('model.'.length).replaceAll('.', '')}`, shape);
    }
  }
  return tensors;
}

/** The same values as float32. */
export function widened(tensors: Readonly<Record<string, WritableTensor>>): Record<string, WritableTensor> {
  const wide = ({ dtype, shape, data }: WritableTensor): WritableTensor =>
    dtype === 'F16' ? { dtype: 'F32', shape, data: fromHalf(data as Uint16Array) } : { dtype, shape, data };
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, wide(tensor)]));
}

/** A small file as safetensors. */
export function ldmBytes(file: 'tiny1' | 'tiny2', options: { readonly average?: boolean } = {}): Uint8Array {
  return writeSafetensors(ldmTensors(file, options), { format: 'pt' });
}
